"""The errors of Ostiary: one class for each person who must act, with a hint for that person."""

from __future__ import annotations


class OstiaryError(Exception):
    """A failure that a person can fix: the message says what is wrong, the hint what to do.

    `option` names the argument of the called function that would allow or change this, such as
    `take_over`; the command line shows it as a flag.
    """

    def __init__(self, message: str, hint: str = "", *, option: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.option = option

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(OstiaryError):
    """The profile is wrong; the integrator must correct it."""


class RequestError(OstiaryError):
    """What a person asked for is wrong; that person must ask for something else."""


class PhotoError(OstiaryError):
    """A photo cannot be used; another one is needed."""


class RecordingError(OstiaryError):
    """A recording of a presentation cannot be used, or its label is wrong."""


class EnrollmentRefused(OstiaryError):
    """The photos can be read, but nobody can be enrolled from them; `reason` names why."""

    def __init__(self, reason: str, message: str, hint: str = "", *, option: str = "") -> None:
        super().__init__(message, hint, option=option)
        self.reason = reason


class BundleError(OstiaryError):
    """A bundle cannot be used; the engineer who exported it must make another one."""


class BackendError(OstiaryError):
    """A backend cannot run; the integrator must install or choose another one."""


class StoreError(OstiaryError):
    """The store or the journal cannot be used; the integrator must look at the disk."""


class CameraError(OstiaryError):
    """The camera fails; the installer must look at it or its URL."""


class DoorError(OstiaryError):
    """The door's actuator fails; the installer must look at it."""


class SealError(OstiaryError):
    """A roster message that is refused; `reason` is a word for events, such as `not-sealed`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
