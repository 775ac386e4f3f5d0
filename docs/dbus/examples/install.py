#!/usr/bin/env python3
"""Installs a bundle over D-Bus and waits for the job to end.

    sudo python3 install.py BUNDLE [--activate]

Needs dbus-next (Debian: python3-dbus-next), and the authority to install: root's, or by a rule of polkit's.
"""

import asyncio
import sys

from dbus_next import BusType, DBusError, Variant
from dbus_next.aio import MessageBus

NAME, ROOT = "org.inferd1", "/org/inferd1"


async def interface(bus, path, name):
    return bus.get_proxy_object(NAME, path, await bus.introspect(NAME, path)).get_interface(name)


async def wait_for(job):
    """The job's last state. It may have ended before anybody listened."""
    ended = asyncio.get_running_loop().create_future()
    job.on_finished(lambda state: ended.done() or ended.set_result(state))
    state = await job.get_state()
    return await ended if state == "running" else state


async def main(path, activate):
    # The bundle travels as an open file: inferd needs no right to read the path.
    bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
    manager = await interface(bus, ROOT, "org.inferd1.Manager")
    with open(path, "rb") as bundle:
        place = await manager.call_install_model(bundle.fileno(), {"activate": Variant("b", activate)})
    job = await interface(bus, place, "org.inferd1.Job")
    state = await wait_for(job)
    print(f"{await job.get_operation()}: {state}")
    if state != "succeeded":
        name, message = await job.get_error()
        sys.exit(f"{name}: {message}")


try:
    asyncio.run(main(sys.argv[1], "--activate" in sys.argv[2:]))
except DBusError as error:
    sys.exit(f"{error.type}: {error.text}")
