"""The fleet's devices, and the erasures that they must still confirm."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.fleet.registry.database import RegistryDatabase


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that devices must still confirm. The subject is deleted; the shard is known."""

    sequence: int
    shard: str


class DeviceReader:
    """Reads which devices there are, and which erasures wait for them."""

    def __init__(self, database: RegistryDatabase) -> None:
        self._database = database

    def provisioned(self) -> list[str]:
        """The ids of the devices that belong to the fleet, sorted."""
        query = "SELECT id FROM device WHERE NOT removed ORDER BY id"
        return [row[0] for row in self._database.query(query)]

    def removed(self) -> list[str]:
        """The ids of the devices that were taken from the fleet, sorted.

        What the broker still keeps of such a device counts for nothing.
        """
        query = "SELECT id FROM device WHERE removed ORDER BY id"
        return [row[0] for row in self._database.query(query)]

    def erasures(self) -> list[Erasure]:
        """The erasures that not every device has confirmed, oldest first."""
        rows = self._database.query("SELECT sequence, shard FROM erasure ORDER BY sequence")
        return [Erasure(*row) for row in rows]

    def pending_erasures(self) -> list[int]:
        """The sequences of the same erasures."""
        return [erasure.sequence for erasure in self.erasures()]
