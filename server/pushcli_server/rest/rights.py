"""What somebody may by his groups and his own jobs (Push Jobs protocol, section 2)."""

from pushcli_server.store import Store, identity_reads, reads
from pushcli_server.store.records import Principal

READERS = "pushy_job_readers"
WRITERS = "pushy_job_writers"
ADMINS = identity_reads.ADMINS


async def is_admin(store: Store, org: str, principal: Principal) -> bool:
    """Whether it may administrate the organization; `org` empty: the server."""
    if principal.superuser or not org:
        return principal.superuser
    return await is_member(store, org, principal, ADMINS)


async def may_read(store: Store, org: str, principal: Principal) -> bool:
    """Whether it may look at all jobs: without a group for that, everybody may."""
    if await is_member(store, org, principal, READERS):
        return True
    return not await store.ask(identity_reads.group_exists, org, READERS)


async def may_write(store: Store, org: str, principal: Principal) -> bool:
    """Whether it may start jobs."""
    if await store.ask(identity_reads.group_exists, org, WRITERS):
        return await is_member(store, org, principal, WRITERS)
    return await is_admin(store, org, principal)


async def owns(store: Store, org: str, principal: Principal, job: str) -> bool:
    """Whether this job is its own: it may start jobs, and started this one."""
    return await may_write(store, org, principal) and await store.ask(
        reads.is_own_job, org, job, principal.kind, principal.name
    )


async def default_output(store: Store, org: str, principal: Principal, job: str) -> bool | None:
    """May it read what was captured of this job by default? None: the job captured nothing so.

    The job's requestor may, administrators, and the members of a group of readers that there is:
    nobody asked for this output, and no node reads what others wrote for want of a group.
    """
    record = await store.ask(reads.job, org, job)
    if record is None or not record.default_capture:
        return None
    return (
        principal.superuser
        or await is_member(store, org, principal, READERS)
        or await is_admin(store, org, principal)
        or await owns(store, org, principal, job)
    )


async def is_member(store: Store, org: str, principal: Principal, group: str) -> bool:
    """Whether it is in this group, however deep."""
    return await store.ask(identity_reads.is_member, org, principal.kind, principal.name, group)
