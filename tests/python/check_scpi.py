"""Other people's clients speak with the emulated bench instruments.

Usage: check_scpi.py ALORA_BINARY. Needs numpy, pyvisa, pyvisa-py, pyserial and pymeasure; with qmi installed, its laser
driver too.

Sockets and the serial line are opened by PyVISA; blocks are read by its own parser, the source meter, the laser and the Red
Pitaya by PyMeasure's drivers, the laser in its other command set by QMI's.
"""

import importlib.metadata
import sys
import warnings

import numpy as np
import pyvisa
from pymeasure.adapters import VISAAdapter
from pymeasure.instruments.keithley import Keithley2450
from pymeasure.instruments.redpitaya import RedPitayaScpi
from pymeasure.instruments.santec import TSL570

from emulators import emulated
from oracle import check, closing_line

PACKAGES = ["pyvisa", "pyvisa-py", "pyserial", "pymeasure", "numpy", "qmi"]


def versions():
    for package in PACKAGES:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            pass


def resource(place):
    if place.startswith("/"):
        return f"ASRL{place}::INSTR"
    host, port = place.rsplit(":", 1)
    return f"TCPIP::{host}::{port}::SOCKET"


def opened(manager, place, ending="\n"):
    return manager.open_resource(
        resource(place), read_termination=ending, write_termination=ending, timeout=3000, open_timeout=3000
    )


def pymeasure_adapter(place, ending):
    return VISAAdapter(
        resource(place), visa_library="@py", read_termination=ending, write_termination=ending, timeout=3000
    )


def near(found, expected, relative=1e-6):
    return abs(found - expected) <= relative * abs(expected)


def check_power_meter(manager, place):
    meter = opened(manager, place)
    maker, model, _, _ = meter.query("*IDN?").split(",")
    check("power meter: identity", (maker, model) == ("Keysight Technologies", "N7745A"))
    pairs = meter.query_binary_values("READ:POW:ALL:CONF?", datatype="H", is_big_endian=False)
    slots = pairs[::2]
    check("power meter: slots and channels", slots == [2, 1, 3, 4, 5, 6, 8, 7] and pairs[1::2] == [1] * 8, pairs)
    dbm = meter.query_binary_values("READ:POW:ALL?", datatype="f", is_big_endian=False)
    expected = [10 * np.log10((1e-3 if n == 4 else n * 1e-6) * 1e3) for n in slots]
    check("power meter: dBm after power-on", np.allclose(dbm, expected, atol=1e-4), dbm)
    for port in range(1, 9):
        meter.write(f":SENSE{port}:POWER:UNIT Watt")
        meter.write(f"sens{port}:pow:rang -20DBM")
    watts = meter.query_binary_values("READ:POW:ALL?", datatype="f", is_big_endian=False, container=np.array)
    read = dict(zip(slots, watts))
    check("power meter: watts by port", all(near(read[n], n * 1e-6) for n in slots if n != 4), watts)
    check("power meter: over range is no number to believe", read[4] > 9.9e37, read[4])
    check("power meter: one port", near(float(meter.query("READ3:POW?")), 3e-6))
    meter.write("SENS1:POW:WAV 1310NM")
    check("power meter: wavelength in metres", near(float(meter.query(":SENS1:POW:WAV?")), 1.31e-6))
    check("power meter: fixed range", (meter.query("SENS1:POW:RANG:AUTO?"), float(meter.query("SENS1:POW:RANG?"))) == ("0", -20.0))
    meter.write("NO:SUCH:THING 1")
    meter.write("SENS1:POW:WAV 3NM")
    errors = [meter.query("SYST:ERR?") for _ in range(3)]
    expected = ['-113,"Undefined header"', '-222,"Data out of range"', '+0,"No error"']
    check("power meter: errors in order, then none", errors == expected, errors)
    meter.close()


def check_source_meter(place):
    adapter = pymeasure_adapter(place, "\n")
    source = Keithley2450(adapter)
    check("source meter: identity", "MODEL 2450" in source.id, source.id)
    source.reset()
    source.apply_voltage(compliance_current=2e-3)
    source.measure_current(nplc=1)
    check("source meter: no errors so far", source.check_errors() == [])
    check("source meter: settings", (source.source_mode, source.compliance_current) == ("voltage", 2e-3))
    source.source_voltage = 1.5
    source.enable_source()
    check("source meter: on", source.source_enabled and near(source.source_voltage, 1.5))
    # 1 kΩ, and five standard deviations of its noise.
    check("source meter: current", abs(source.current - 1.5e-3) < 6e-9, source.current)
    source.source_voltage = 4.0
    check("source meter: held at its current limit", near(source.current, 2e-3), source.current)
    source.shutdown()
    check("source meter: off", source.ask(":OUTP?").strip() == "0")


def check_laser(place):
    adapter = pymeasure_adapter(place, "\r")
    laser = TSL570(adapter)
    check("laser: command set", laser.command_set == "SCPI")
    check("laser: range", near(laser.wavelength_min, 1.48e-6) and near(laser.wavelength_max, 1.64e-6))
    # PyMeasure writes six digits.
    laser.wavelength_setpoint = 1.54512e-6
    check("laser: wavelength in metres", near(laser.wavelength_setpoint, 1.54512e-6), laser.wavelength_setpoint)
    laser.write(":POW:UNIT 1")
    laser.power_setpoint = 2.5
    check("laser: milliwatts", near(laser.power_setpoint, 2.5), laser.power_setpoint)
    check("laser: dark before it is switched on", laser.power == 0.0, laser.power)
    laser.write(":POW:STAT 1")
    check("laser: the shutter is the reverse of the state", laser.ask(":POW:SHUT?").strip() == "0")
    check("laser: monitor", abs(laser.power - 2.5) < 0.0175, laser.power)
    laser.write(":WAV 1545.12")
    check("laser: nanometres are refused in this command set", laser.check_errors()[0][0] == -222)
    check("laser: and changed nothing", near(laser.wavelength_setpoint, 1.54512e-6))


def check_legacy_laser(place):
    try:
        import qmi
        from qmi.instruments.santec.tsl_570 import Santec_Tsl570
    except ImportError:
        print("skipped  QMI's laser driver: qmi is not installed")
        return
    qmi.start("check_scpi", None, init_logging=False)
    laser = Santec_Tsl570(qmi.context(), "laser", f"tcp:{place}")
    laser.open()
    check("legacy laser: identity", laser.get_idn().model == "TSL-570")
    check("legacy laser: range", (laser.get_minimum_wavelength(), laser.get_maximum_wavelength()) == (1480.0, 1640.0))
    laser.set_wavelength(1550.1234)
    check("legacy laser: wavelength in nanometres", laser.get_wavelength() == 1550.1234)
    laser.set_optical_output_status(True)
    check("legacy laser: on", laser.get_optical_output_status() == "ON")
    laser.close()
    qmi.stop()


def check_red_pitaya(manager, place):
    adapter = pymeasure_adapter(place, "\r\n")
    board = RedPitayaScpi(adapter)
    board.write("SOUR1:FUNC DC")
    board.write("SOUR1:VOLT 0")
    board.write("SOUR1:VOLT:OFFS -0.25")
    board.write("OUTPUT1:STATE ON")
    board.acquisition_reset()
    board.decimation = 64
    board.average_skipped_samples = True
    board.acq_units = "VOLTS"
    board.ain1.gain = "LV"
    check("red pitaya: settings", (board.decimation, board.average_skipped_samples, board.acq_units) == (64, True, "VOLTS"))
    board.acq_format = "ASCII"
    board.acquisition_start()
    board.acq_trigger_source = "NOW"
    check("red pitaya: triggered", board.acq_trigger_status is True)
    while not board.acq_buffer_filled:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        text = board.ain1.get_data(npts=100, format="ASCII")
    check("red pitaya: text", len(text) == 100 and abs(text.mean() + 0.25) < 1e-4, text.mean())
    check("red pitaya: no errors", board.check_errors() == [])
    board.adapter.close()
    # PyMeasure reads binary as native 64-bit integers; the maker's own client as big-endian singles.
    raw = opened(manager, place, ending="\r\n")
    raw.write("ACQ:DATA:FORMAT BIN")
    volts = raw.query_binary_values("ACQ:SOUR1:DATA:OLD:N? 100", datatype="f", is_big_endian=True)
    check("red pitaya: big-endian singles are the text again", np.allclose(volts, text, atol=1e-6))
    raw.write("ACQ:DATA:UNITS RAW")
    counts = raw.query_binary_values("ACQ:SOUR1:DATA:OLD:N? 100", datatype="h", is_big_endian=True)
    check("red pitaya: and big-endian counts", np.allclose(np.array(counts) / 8191, text, atol=1 / 8191))
    check("red pitaya: nothing is left on the wire", raw.query("*IDN?").startswith("REDPITAYA,INSTR"))
    raw.close()


def check_controller(manager, place):
    controller = opened(manager, place)
    controller.baud_rate = 115200
    check("controller: who it is", controller.query("m?").startswith("MTD415T") and len(controller.query("u?")) == 32)
    # This firmware answers a setting with its value.
    check("controller: set point", (controller.query("T31500"), controller.query("T?")) == ("31500", "31500"))
    found = controller.query("Te?")
    # Its plant is on the way from 23 °C, and reads with a little noise.
    check("controller: temperature in thousandths", 22_500 <= int(found) <= 32_000, found)
    check("controller: current limit", (controller.query("L1200"), controller.query("L?")) == ("1200", "1200"))
    controller.write("T46000")
    controller.write("XYZ")
    check("controller: errors by bit", int(controller.query("E?")) == (1 << 13) | (1 << 14))
    controller.write("c")
    check("controller: cleared", controller.query("E?") == "0" and controller.query("T?") == "31500")
    controller.close()


def main():
    print(", ".join(versions()))
    manager = pyvisa.ResourceManager("@py")
    with emulated(sys.argv[1], "configs/emulated-instruments.toml") as devices:
        places = {device["name"]: device.get("address") or device["path"] for device in devices}
        check_power_meter(manager, places["power-meter"])
        check_source_meter(places["source-meter"])
        check_laser(places["laser"])
        check_legacy_laser(places["legacy-laser"])
        check_red_pitaya(manager, places["red-pitaya"])
        check_controller(manager, places["tec"])
    closing_line()


if __name__ == "__main__":
    main()
