"""The running server, as REST sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pushcli_server.admission import AdmissionService
from pushcli_server.brake import BrakeService
from pushcli_server.checks import Checks
from pushcli_server.clock import Clock
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.node import Phase
from pushcli_server.feeds import Feeds
from pushcli_server.identities import Identities
from pushcli_server.jobs import JobService
from pushcli_server.lag import LoopLag
from pushcli_server.metrics import Metrics
from pushcli_server.nodes import NodeService
from pushcli_server.organizations import OrganizationService
from pushcli_server.output_feeds import OutputFeeds
from pushcli_server.shared_files import Shared
from pushcli_server.signed_writes import SignedWrites
from pushcli_server.store import Store
from pushcli_server.supervised import Tasks
from pushcli_server.whitelist_push import WhitelistPush


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What handlers and signals ask; each knows its own subject."""

    incarnation_id: str
    fleet: Fleet
    clock: Clock
    store: Store
    identities: Identities
    jobs: JobService
    nodes: NodeService
    admission: AdmissionService
    brake: BrakeService
    organizations: OrganizationService
    whitelists: WhitelistPush
    checks: Checks
    feeds: Feeds
    outputs: OutputFeeds
    lag: LoopLag
    metrics: Metrics
    writes: SignedWrites
    shared: Callable[[], Shared]
    """What another server gets that joins; it reads files."""
    tasks: Tasks

    def status(self) -> dict[str, Any]:
        """The body of `/pushy/_status`."""
        nodes = self.fleet.nodes.values()
        return {
            "status": "it's alive",
            "incarnation_id": self.incarnation_id,
            "node_fsm_count": sum(1 for node in nodes if node.phase is not Phase.OFFLINE),
            "job_processes": sorted(job.id for job in self.fleet.jobs),
        }
