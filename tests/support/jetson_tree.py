"""The files of a Jetson Orin Nano as its owners have posted them, in a folder for tests."""

from __future__ import annotations

from pathlib import Path

RELEASE = """\
# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, \
DATE: Wed Jan  8 01:49:37 UTC 2025
# KERNEL_VARIANT: oot
TARGET_USERSPACE_LIB_DIR=nvidia
TARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia
"""
MODEL = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
NVPMODEL = "NV Power Mode: 25W\n1\n"
ZONES = {
    "cpu-thermal": "49468", "gpu-thermal": "50125", "cv0-thermal": None, "cv1-thermal": None,
    "cv2-thermal": None, "soc0-thermal": "50031", "soc1-thermal": "50531",
    "soc2-thermal": "48906", "tj-thermal": "50531",
}  # fmt: skip
"""The units for vision are powered off: their zones answer with an error."""
ALERTS = ("cpu-throttle-alert", "gpu-throttle-alert", "soc0-throttle-alert", "hot-surface-alert")
DRIVER = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build"
    "  (buildbrain@mobile-u64-6336-d8000)\n"
)


def put(root: Path, name: str, text: str) -> None:
    """Write one of the kernel's files."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def jetson(root: Path) -> Path:
    """A whole tree below `root`."""
    put(root, "etc/nv_tegra_release", RELEASE)
    put(root, "etc/os-release", 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nNAME="Ubuntu"\n')
    put(root, "proc/device-tree/model", f"{MODEL}\0")
    put(root, "proc/device-tree/serial-number", "1424325050123\0")
    put(root, "proc/sys/kernel/osrelease", "5.15.148-tegra\n")
    put(root, "proc/cpuinfo", "".join(f"processor\t: {i}\nBogoMIPS\t: 62.50\n\n" for i in range(6)))
    put(root, "proc/meminfo", "MemTotal:        7802808 kB\nMemFree:         1000000 kB\n")
    put(root, "proc/driver/nvidia/version", DRIVER)
    for number, (zone, celsius) in enumerate(ZONES.items()):
        folder = f"sys/class/thermal/thermal_zone{number}"
        put(root, f"{folder}/type", f"{zone}\n")
        if celsius is None:
            (root / folder / "temp").mkdir()  # reading it fails, as it does there
        else:
            put(root, f"{folder}/temp", f"{celsius}\n")
        put(root, f"{folder}/trip_point_0_type", "critical\n")
        put(root, f"{folder}/trip_point_0_temp", "104500\n")
        put(root, f"{folder}/trip_point_1_type", "passive\n")
        put(root, f"{folder}/trip_point_1_temp", "99000\n")
    for number, alert in enumerate((*ALERTS, "pwm-fan")):
        put(root, f"sys/class/thermal/cooling_device{number}/type", f"{alert}\n")
        put(root, f"sys/class/thermal/cooling_device{number}/cur_state", "0\n")
    put(root, "sys/class/thermal/cooling_device4/cur_state", "3\n")
    for core in range(6):
        clock(root, f"sys/devices/system/cpu/cpu{core}/cpufreq")
    gpu(root)
    put(root, "sys/class/hwmon/hwmon3/name", "soctherm_oc\n")
    for name, count in (("oc1", 0), ("oc2", 0), ("oc3", 37)):
        put(root, f"sys/class/hwmon/hwmon3/{name}_event_cnt", f"{count}\n")
    return root


def clock(root: Path, folder: str, least: int = 729600, most: int = 1344000) -> None:
    """A processor's cpufreq folder at 25 W."""
    put(root, f"{folder}/scaling_governor", "schedutil\n")
    put(root, f"{folder}/scaling_cur_freq", f"{least}\n")
    put(root, f"{folder}/scaling_min_freq", f"{least}\n")
    put(root, f"{folder}/scaling_max_freq", f"{most}\n")
    put(root, f"{folder}/cpuinfo_max_freq", "1728000\n")


def gpu(root: Path, least: int = 306000000, most: int = 918000000) -> None:
    """The GPU's devfreq folder at 25 W."""
    folder = "sys/class/devfreq/17000000.gpu"
    put(root, f"{folder}/governor", "nvhost_podgov\n")
    put(root, f"{folder}/cur_freq", "306000000\n")
    put(root, f"{folder}/min_freq", f"{least}\n")
    put(root, f"{folder}/max_freq", f"{most}\n")
    put(root, f"{folder}/available_frequencies", "306000000 612000000 918000000 1020000000\n")
