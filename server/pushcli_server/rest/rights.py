"""What somebody may by his groups and his own jobs (Push Jobs protocol, section 2)."""

from pushcli_server.identities import Identities
from pushcli_server.store import Store, identity_reads, reads
from pushcli_server.store.records import Principal

READERS = "pushy_job_readers"
WRITERS = "pushy_job_writers"
ADMINS = identity_reads.ADMINS


class Rights:
    """Who may what."""

    def __init__(self, identities: Identities, store: Store) -> None:
        self._identities = identities
        self._store = store

    async def is_admin(self, org: str, principal: Principal) -> bool:
        """Whether it may administrate the organization; `org` empty: the server."""
        if principal.superuser or not org:
            return principal.superuser
        return await self._identities.is_member(org, principal, ADMINS)

    async def may_read(self, org: str, principal: Principal) -> bool:
        """Whether it may look at all jobs: without a group for that, everybody may."""
        if await self._identities.is_member(org, principal, READERS):
            return True
        return not await self.has_readers(org)

    async def may_write(self, org: str, principal: Principal) -> bool:
        """Whether it may start jobs."""
        if await self.has_writers(org):
            return await self._identities.is_member(org, principal, WRITERS)
        return await self.is_admin(org, principal)

    async def owns(self, org: str, principal: Principal, job: str) -> bool:
        """Whether this job is its own: it may start jobs, and started this one."""
        return await self.may_write(org, principal) and await self._store.ask(
            reads.is_own_job, org, job, principal.kind, principal.name
        )

    async def may_see(self, org: str, principal: Principal, job: str) -> bool:
        """Whether it may look at all jobs, or this one is its own."""
        return await self.may_read(org, principal) or await self.owns(org, principal, job)

    async def default_output(self, org: str, principal: Principal, job: str) -> bool | None:
        """May it read what was captured of this job by default? None: the job captured nothing so.

        The job's requestor may, administrators, and the members of a group of readers that there
        is: nobody asked for this output, and no node reads what others wrote for want of a group.
        """
        record = await self._store.ask(reads.job, org, job)
        if record is None or not record.default_capture:
            return None
        return (
            principal.superuser
            or await self._identities.is_member(org, principal, READERS)
            or await self.is_admin(org, principal)
            or await self.owns(org, principal, job)
        )

    async def has_readers(self, org: str) -> bool:
        """Whether there is a group of those who may look."""
        return await self._identities.group_exists(org, READERS)

    async def has_writers(self, org: str) -> bool:
        """Whether there is a group of those who may start jobs."""
        return await self._identities.group_exists(org, WRITERS)
