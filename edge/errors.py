"""The errors of Ostiary: a class for each person who must act, and a hint for that person."""

from __future__ import annotations


class OstiaryError(Exception):
    """A failure somebody can mend: what is wrong and where, and what to do about it.

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
    """The integrator must mend the profile."""


class PhotoError(OstiaryError):
    """The person enrolling must give another photo."""


class EnrollmentRefused(OstiaryError):
    """The photos can be read, but nobody can be enrolled from them; `reason` names why."""

    def __init__(self, reason: str, message: str, hint: str = "", *, option: str = "") -> None:
        super().__init__(message, hint, option=option)
        self.reason = reason


class BundleError(OstiaryError):
    """The engineer who exported the bundle must give another one."""


class BackendError(OstiaryError):
    """The integrator must install or choose another backend."""


class StoreError(OstiaryError):
    """The integrator must look at the disk: the store or the journal cannot be used."""


class CameraError(OstiaryError):
    """The installer must look at the camera or its URL."""


class DoorError(OstiaryError):
    """The installer must look at the door's actuator."""


class SealError(OstiaryError):
    """A roster message that is refused; `reason` is a word for events, such as `not-sealed`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
