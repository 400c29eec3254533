"""The fleet's devices, and the erasures that they must still confirm."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.fleet.registry.database import RegistryDatabase


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that devices must still confirm. The subject's id is deleted, the shard kept."""

    sequence: int
    shard: str


class DeviceReader:
    """Reads the fleet's devices, and the erasures that they have not confirmed."""

    def __init__(self, database: RegistryDatabase) -> None:
        self._database = database

    def provisioned(self) -> list[str]:
        """The ids of the devices that belong to the fleet, sorted."""
        query = "SELECT id FROM device WHERE NOT removed ORDER BY id"
        return [row[0] for row in self._database.query(query)]

    def removed(self) -> list[str]:
        """The ids of the devices that were removed from the fleet, sorted.

        Messages of such a device that the broker still retains are ignored.
        """
        query = "SELECT id FROM device WHERE removed ORDER BY id"
        return [row[0] for row in self._database.query(query)]

    def erasures(self) -> list[Erasure]:
        """The erasures that not every device has confirmed, oldest first."""
        rows = self._database.query("SELECT sequence, shard FROM erasure ORDER BY sequence")
        return [Erasure(*row) for row in rows]

    def pending_erasures(self) -> list[int]:
        """The sequences of the erasures that not every device has confirmed, oldest first."""
        return [erasure.sequence for erasure in self.erasures()]
