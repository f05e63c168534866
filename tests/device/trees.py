"""Folders that replace / on four machines: the files of /sys, /proc and /etc that FLQ reads.

The values of the Jetsons are from captures and from jetson_stats; none was read from a board by us. Tests in other
folders add this one to sys.path and import the module by its name.
"""

NO_CHANGES = {}


def plant(folder, files, changes=NO_CHANGES):
    """Write the files of a tree under a folder; return the folder, as a root for the readers.

    ``changes`` are applied last; None removes a file.
    """
    for path, text in dict(files, **changes).items():
        place = folder / path.lstrip("/")
        if text is None:
            if place.exists():
                place.unlink()
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode("utf-8"))
    return str(folder)


def zones(*named):
    """Return the thermal zones of (type, milli-degrees) in order."""
    files = {}
    for number, (name, milli) in enumerate(named):
        folder = "/sys/class/thermal/thermal_zone%d/" % number
        files.update({folder + "type": name + "\n", folder + "temp": "%d\n" % milli})
    return files


def cooling(*named):
    """Return the cooling devices of (type, state) in order."""
    files = {}
    for number, (name, state) in enumerate(named):
        folder = "/sys/class/thermal/cooling_device%d/" % number
        files.update({folder + "type": name + "\n", folder + "cur_state": "%d\n" % state})
    return files


def cpu_times(user, idle):
    """Return a /proc/stat with these ticks."""
    return {"/proc/stat": "cpu  %d 0 0 %d 0 0 0 0 0 0\ncpu0 %d 0 0 %d 0 0 0 0 0 0\nintr 1\n" % (user, idle, user, idle)}


def memory(total_kb, available_kb, swap_kb=0):
    """Return a /proc/meminfo."""
    return {
        "/proc/meminfo": "MemTotal:       %d kB\nMemFree:          100 kB\nMemAvailable:   %d kB\n"
        "SwapTotal:      %d kB\n" % (total_kb, available_kb, swap_kb)
    }


SWAPS_HEAD = "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n"
ZRAM = "".join("/dev/zram%d                              partition\t506556\t0\t5\n" % n for n in range(4))
SD_CARD = "/dev/mmcblk0p1 / ext4 rw,noatime,data=ordered 0 0\nproc /proc proc rw 0 0\n"
INA_4 = "/sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/"
INA_5 = "/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/"

# The original Nano, 4 GB, on JetPack 4.6.1: ext4 on an SD card with noatime, a swap file on a USB disk.
NANO = {
    "/proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
    "/proc/device-tree/compatible": "nvidia,p3449-0000-b00+p3448-0000-b00\0nvidia,jetson-nano\0nvidia,tegra210\0",
    "/etc/nv_tegra_release": "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, "
    "DATE: Sat Feb 19 17:05:08 UTC 2022\n",
    "/sys/devices/gpu.0/load": "450\n",
    "/sys/devices/system/cpu/online": "0-3\n",
    "/sys/devices/system/cpu/present": "0-3\n",
    "/var/lib/nvpmodel/status": "pmode:0000 fmode:fanNull\n",
    "/proc/mounts": SD_CARD + "/dev/sda1 /media/usb ext4 rw,relatime 0 0\n",
    "/proc/swaps": SWAPS_HEAD + "/media/usb/swapfile                     file\t4194300\t0\t-2\n",
    "/etc/systemd/journald.conf": "[Journal]\nStorage=volatile\n",
    INA_4 + "rail_name_0": "POM_5V_IN\n",
    INA_4 + "in_power0_input": "3187\n",
    INA_4 + "in_voltage0_input": "5024\n",
    INA_4 + "in_current0_input": "634\n",
    INA_4 + "rail_name_1": "POM_5V_GPU\n",
    INA_4 + "in_power1_input": "450\n",
    INA_4 + "rail_name_2": "POM_5V_CPU\n",
    INA_4 + "in_power2_input": "612\n",
}
NANO.update(
    zones(
        ("AO-therm", 41000),
        ("CPU-therm", 36500),
        ("GPU-therm", 34000),
        ("PLL-therm", 34500),
        ("PMIC-Die", 100000),
        ("thermal-fan-est", 35250),
    )
)
NANO.update(
    cooling(
        ("tegra-shutdown", 0),
        ("pwm-fan", 2),
        ("GPU-cap", 1),
        ("gpu-balanced", 0),
        ("cpu-balanced", 0),
        ("emergency-balanced", 0),
    )
)
NANO.update(cpu_times(1000, 9000))
NANO.update(memory(4059424, 2210000, 4194300))

# An Orin Nano, 8 GB, on L4T 36.4.3 (JetPack 6.2): root on NVMe.
ORIN_NANO = {
    "/proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "/proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
    "/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
    "DATE: Wed Jan  8 01:49:37 UTC 2025\n",
    "/sys/devices/platform/gpu.0/load": "998\n",
    "/sys/devices/system/cpu/online": "0-5\n",
    "/sys/devices/system/cpu/present": "0-5\n",
    "/var/lib/nvpmodel/status": "pmode:0002\n",
    "/proc/mounts": "/dev/nvme0n1p1 / ext4 rw,relatime 0 0\n",
    "/proc/swaps": SWAPS_HEAD + "/dev/zram0                              partition\t637332\t0\t5\n",
    INA_5 + "in1_label": "VDD_IN\n",
    INA_5 + "in1_input": "4968\n",
    INA_5 + "curr1_input": "1032\n",
    INA_5 + "in2_label": "VDD_CPU_GPU_CV\n",
    INA_5 + "in2_input": "4960\n",
    INA_5 + "curr2_input": "184\n",
    INA_5 + "in3_label": "VDD_SOC\n",
    INA_5 + "in3_input": "4960\n",
    INA_5 + "curr3_input": "272\n",
    INA_5 + "in4_input": "5160\n",
    INA_5 + "curr4_input": "1488\n",
    INA_5 + "in7_label": "sum of shunt voltages\n",
    INA_5 + "in7_input": "80\n",
    INA_5 + "curr7_input": "1488\n",
}
ORIN_NANO.update(
    zones(
        ("cpu-thermal", 48125),
        ("gpu-thermal", 49000),
        ("soc0-thermal", 47250),
        ("cv0-thermal", -256000),
        ("tj-thermal", 49000),
    )
)
ORIN_NANO.update(
    cooling(
        ("pwm-fan", 1),
        ("cpufreq-cpu0", 3),
        ("cpu-throttle-alert", 0),
        ("gpu-throttle-alert", 0),
        ("hot-surface-alert", 0),
    )
)
ORIN_NANO.update(cpu_times(5000, 5000))
ORIN_NANO.update(memory(7806000, 5000000, 637332))

PI4 = {
    "/proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "/proc/device-tree/compatible": "raspberrypi,4-model-b\0brcm,bcm2711\0",
    "/sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n",
    "/sys/devices/system/cpu/online": "0-3\n",
    "/sys/devices/system/cpu/present": "0-3\n",
    "/proc/mounts": "/dev/mmcblk0p2 / ext4 rw,noatime 0 0\n",
    "/proc/swaps": SWAPS_HEAD + "/var/swap                               file\t102396\t0\t-2\n",
}
PI4.update(zones(("cpu-thermal", 52582)))
PI4.update(cooling(("cpufreq-cpu0", 0)))
PI4.update(cpu_times(10, 10))
PI4.update(memory(3884000, 3500000, 102396))

PC = {
    "/sys/class/dmi/id/sys_vendor": "Dell Inc.\n",
    "/sys/class/dmi/id/product_name": "Precision 3660\n",
    "/sys/devices/system/cpu/online": "0-15\n",
    "/sys/devices/system/cpu/present": "0-15\n",
    "/proc/mounts": "/dev/nvme0n1p2 / ext4 rw,relatime 0 0\n",
    "/proc/swaps": SWAPS_HEAD + "/swapfile                               file\t2097148\t0\t-2\n",
}
PC.update(zones(("acpitz", 27800), ("x86_pkg_temp", 61000)))
PC.update(cooling(("Processor", 0), ("Processor", 0), ("intel_powerclamp", -1)))
PC.update(cpu_times(300, 700))
PC.update(memory(32600000, 30000000, 2097148))

TREES = {"nano": NANO, "orin": ORIN_NANO, "pi": PI4, "pc": PC}
