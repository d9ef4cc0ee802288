"""A command in several processes: they begin together, and the first one speaks."""

import sys
from typing import Any

import click

from portnn.backend import Backend
from portnn.cli.common import silence
from portnn.distributed import Communicator, beginning_together, communicator_of, watched
from portnn.mpi import MPICommunicator


class Together(click.Command):
    """A command whose processes begin together."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments. An error on one of several processes ends all: the others would wait for it."""
        given = list(args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.ClickException:
            comm = communicator_of("mpi") if any(each.startswith("--distributed") for each in given) else None
            try:
                with watched(comm), beginning_together(comm):
                    raise
            except click.ClickException:
                if comm is not None and comm.rank:
                    sys.exit(2)  # the first process says it
                raise


def silence_others(context: click.Context) -> None:
    """Print nothing more in this process, its error neither: the first process says it."""
    context.find_root().with_resource(silence())


def device_of_rank(comm: Communicator | None, backend: Backend) -> str:
    """Return the backend's device, or for NCCL the one that has the number of the process on its machine."""
    if isinstance(comm, MPICommunicator) and comm.on_device:
        devices = backend.devices()
        return devices[comm.local_rank % len(devices)]
    return backend.device
