"""Brings a change to the broker, and reports problems that did not stop the change.

Such a problem never undoes the change: it is given to `say` as a notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ostiary.edge.errors import OstiaryError
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.publishing.publish import publish_changes
from ostiary.fleet.site.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Notice:
    """A problem that did not stop a change: what failed, why, and what the operator can do."""

    what: str
    problem: str
    hint: str = ""


Say = Callable[[Notice], None]
Publish = Callable[[Fleet], object]
"""Brings the broker up to date; raises OstiaryError or OSError if it cannot. If a function takes
None in its place, it publishes nothing."""
Progress = Callable[[str, int, int], None]
"""Takes the current step of a long job, the number done in this step, and the number of all."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Whether the broker has everything in the registry.

    `wanted` is False if the caller did not want to publish; `problem` says why publishing failed.
    """

    published: bool
    wanted: bool = True
    problem: str = ""

    @property
    def failed(self) -> bool:
        """True if the change should have reached the broker and did not."""
        return self.wanted and not self.published


def publish_change(fleet: Fleet, say: Say, publish: Publish | None = publish_changes) -> Delivery:
    """Publish after a change. If that fails the change is kept, and `say` gets a notice."""
    roster = fleet.registry().roster
    if roster.published == roster.sequence:
        return Delivery(published=True, wanted=publish is not None)
    if publish is None:
        return Delivery(published=False, wanted=False)
    try:
        publish(fleet)
    except (OstiaryError, OSError) as error:
        problem = why(error)
        say(_unpublished(problem))
        return Delivery(published=False, problem=problem)
    except KeyboardInterrupt:
        say(_unpublished("interrupted"))
        raise
    return Delivery(published=True)


def forget_photos(fleet: Fleet, subject: str, say: Say) -> bool:
    """Remove the kept photos of a person. If that fails: False, and `say` gets a notice."""
    try:
        Album(fleet).forget(subject)
    except (OstiaryError, OSError) as error:
        advice = "fix that, then run this command again"
        say(Notice(f"photos of {subject} are still kept", why(error), advice))
        return False
    return True


def why(error: OstiaryError | OSError) -> str:
    """An error's message without its hint."""
    return error.message if isinstance(error, OstiaryError) else str(error)


def _unpublished(problem: str) -> Notice:
    return Notice(
        "not published yet", problem, "the change is kept; `ostiary-fleet publish` tries again"
    )
