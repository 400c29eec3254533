"""What follows a change: the broker gets it, and the operator hears what went wrong besides.

A problem besides the change never undoes the change: it is handed to `say` as a notice.
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
    """Something besides the change went wrong: what, why, and what the operator can do."""

    what: str
    problem: str
    hint: str = ""


Say = Callable[[Notice], None]
Publish = Callable[[Fleet], object]
"""Brings the broker up to date; raises OstiaryError or OSError if it cannot. A function that takes
None in its place keeps the change back."""
Progress = Callable[[str, int, int], None]
"""Takes the current step of a long work, how many are done in this step, and of how many."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Whether the broker has everything in the registry.

    `wanted` is False if the caller kept the change back; `problem` says why publishing failed.
    """

    published: bool
    wanted: bool = True
    problem: str = ""

    @property
    def failed(self) -> bool:
        """The change should have reached the broker and did not."""
        return self.wanted and not self.published


def publish_change(fleet: Fleet, say: Say, publish: Publish | None = publish_changes) -> Delivery:
    """Publish after a change. If that fails the change is kept, and `say` is told so."""
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
    """Remove the kept photos of a person; False, and `say` is told, if they cannot be removed."""
    try:
        Album(fleet).forget(subject)
    except (OstiaryError, OSError) as error:
        advice = "mend that, then run this command again"
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
