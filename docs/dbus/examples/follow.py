#!/usr/bin/env python3
"""inferd from Python: lists models and pipelines, then tells what changes.

    python3 follow.py [SECONDS]

Needs dbus-next (Debian: python3-dbus-next). Reading needs no authority.
"""

import asyncio
import sys

from dbus_next import BusType
from dbus_next.aio import MessageBus

NAME, ROOT = "org.inferd1", "/org/inferd1"


async def proxy(bus, path):
    return bus.get_proxy_object(NAME, path, await bus.introspect(NAME, path))


def tell(path, interface, changed, invalidated):
    # Figures come once a second at most; states at once.
    for name, value in changed.items():
        print(f"{path}: {name} = {value.value}", flush=True)
    for name in invalidated:
        print(f"{path}: {name} is to be read again", flush=True)


async def follow(bus, path, interface):
    """Tells the changes of one object."""
    properties = (await proxy(bus, path)).get_interface("org.freedesktop.DBus.Properties")
    properties.on_properties_changed(lambda of, changed, invalidated: tell(path, of, changed, invalidated))


async def main(seconds):
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    objects = (await proxy(bus, ROOT)).get_interface("org.freedesktop.DBus.ObjectManager")
    for path, interfaces in sorted((await objects.call_get_managed_objects()).items()):
        values = {name: value.value for interface in interfaces.values() for name, value in interface.items()}
        if "org.inferd1.Model" in interfaces:
            print(f"{path}: version {values['ActiveVersion'] or 'none'} is active")
        elif "org.inferd1.Pipeline" in interfaces:
            print(f"{path}: {values['State']} {values['Reason']}")
            await follow(bus, path, "org.inferd1.Pipeline")
    await asyncio.sleep(seconds)
    bus.disconnect()


asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 3600))
