"""Slurm's accounts for real: slurmdbd, and the MariaDB that it keeps them in, both on the head.

An image that has them says so by its facts; without those, nothing here is used.
"""

import shlex
from dataclasses import dataclass
from typing import Self

from campaign.core.levers import Lever
from schedulers.base import File, Node, Probe, Topology, Unit
from schedulers.facts import ImageFacts

LEVERS = frozenset(
    {
        Lever.ACCOUNTS,
        Lever.ACCOUNT_TREES,
        Lever.ACCOUNT_SIZES,
        Lever.USER_SHARES,
        Lever.LIMITS,
        Lever.QOS,
        Lever.QOS_LIMITS,
        Lever.QOS_ACCESS,
        Lever.PARTITION_QOS,
        Lever.PARTITION_ACCESS,
    }
)
"""What of a cluster's model only slurmdbd keeps."""
DBD_PORT = 6819
DBD_LOG = "/var/log/slurm/slurmdbd.log"
DATABASE_UNIT = "accounts-database.service"
DATABASE_UNIT_FILE = f"/etc/systemd/system/{DATABASE_UNIT}"
DATABASE_FOLDER = "/var/lib/slurm/database"
SOCKET = "/run/mysqld/mysqld.sock"
"""Where MariaDB's client library looks for a server of this machine by default."""
DATABASE = "slurm_acct_db"
OWNER = "slurm"
"""Who owns database and slurmdbd: SlurmUser."""
FILES = (
    # Each would be several times as large, and is written in full: a guest has it in its memory.
    "--innodb-data-file-path=ibdata1:1M:autoextend",
    "--innodb-temp-data-file-path=ibtmp1:1M:autoextend",
    "--innodb-autoextend-increment=1",
    "--innodb-undo-tablespaces=0",
    "--innodb-log-file-size=4M",
)
"""How the database's files are laid out: the same when they are made and when they are used."""
SMALL = (
    "--innodb-buffer-pool-size=8M",
    "--innodb-log-buffer-size=2M",
    "--aria-pagecache-buffer-size=1M",
    "--key-buffer-size=0",
    "--query-cache-type=0",
    "--query-cache-size=0",
    "--table-open-cache=64",
    "--max-connections=10",
    "--performance-schema=OFF",
)
"""A few hundred jobs and associations are all that it holds."""
QUIET = (
    # A throw-away cluster has nothing to save from a crash; what a commit waits for is in memory.
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-flush-log-at-timeout=2700",
    "--innodb-use-native-aio=0",
    "--innodb-stats-auto-recalc=0",
    "--innodb-buffer-pool-dump-at-shutdown=0",
    "--innodb-buffer-pool-load-at-startup=0",
    "--innodb-purge-threads=1",
    "--aria-checkpoint-interval=0",
)
"""What keeps its background threads from waking: in virtual time, that is what an idle guest
costs."""
LATE_S = 1
"""A timer of the database may be so late, so that it wakes together with others."""


@dataclass(frozen=True)
class AccountingNames:
    """What an image calls slurmdbd's file and unit, and where its MariaDB is."""

    conf: str
    unit: str
    program: str
    share: str

    @classmethod
    def of(cls, facts: ImageFacts) -> Self | None:
        """Read them from an image's facts; return None for an image without slurmdbd."""
        if "unit.slurmdbd" not in facts:
            return None
        return cls(
            conf=facts["slurm.dbd_conf"],
            unit=facts["unit.slurmdbd"],
            program=facts["mariadb.program"],
            share=facts["mariadb.share"],
        )

    @property
    def units(self) -> tuple[str, str]:
        """The units that run beside the controller, in the order in which they are started."""
        return DATABASE_UNIT, self.unit


def files(head: Node, names: AccountingNames) -> tuple[File, ...]:
    """Return the files that database and slurmdbd want on the head."""
    return (
        File(DATABASE_UNIT_FILE, _unit_file(names)),
        # slurmdbd refuses a file that others may read.
        File(names.conf, _dbd_conf(head), mode=0o600, owner=OWNER),
    )


def make_command(names: AccountingNames) -> tuple[str, ...]:
    """Return the command that makes an empty database, unless there is one already.

    It stands for mariadb-install-db, which wants programs of MariaDB's client. The owner of the
    files may use it, as the user of the same name: the server asks the kernel who that is.
    """
    tables = ("system_tables", "performance_tables", "system_tables_data")
    sql = (f"{names.share}/mariadb_{name}.sql" for name in tables)
    # libmariadb 3.4.10 forgets its own limits where slurmdbd finds no database, and slurmdbd ends.
    begin = f"create database {DATABASE};\ncreate database mysql;\nuse mysql;\n"
    begin += f"set @auth_root_socket='{OWNER}';\n"
    options = ("--no-defaults", "--bootstrap", "--log-warnings=0", f"--datadir={DATABASE_FOLDER}")
    server = shlex.join((names.program, *options, *FILES))
    script = (
        f"[[ -d {DATABASE_FOLDER}/mysql ]] || {{ mkdir -p {DATABASE_FOLDER}; "
        f"{{ printf %s {shlex.quote(begin)}; cat {' '.join(sql)}; }} | {server}; }}"
    )
    owner = (f"--reuid={OWNER}", f"--regid={OWNER}", "--init-groups")
    return ("setpriv", *owner, "bash", "-euo", "pipefail", "-c", script)


def conf_lines(topology: Topology) -> tuple[str, ...]:
    """Return the lines of slurm.conf by which the controller keeps its accounts in slurmdbd.

    Shares, limits and qualities of service act then, and who has no account may not submit.
    """
    # No limit on GPUs is understood without it, and no type of theirs is in the accounts.
    kinds = dict.fromkeys(node.gpu_type for node in topology.compute if node.gpus)
    tracked = ("gres/gpu", *(f"gres/gpu:{kind}" for kind in kinds if kind))
    return (
        "AccountingStorageType=accounting_storage/slurmdbd",
        f"AccountingStorageHost={topology.head.address}",
        f"AccountingStoragePort={DBD_PORT}",
        "AccountingStorageEnforce=associations,limits,qos,safe",
        *((f"AccountingStorageTRES={','.join(tracked)}",) if kinds else ()),
    )


def units(names: AccountingNames) -> tuple[Unit, ...]:
    """Return the units of database and slurmdbd."""
    return Unit(DATABASE_UNIT), Unit(names.unit, log=DBD_LOG)


def answers(asked: tuple[str, ...]) -> Probe:
    """Return the probe that waits for slurmdbd; `asked` is sacctmgr with a limit."""
    # Slurm makes this quality of service itself, as the last of what it needs to begin.
    command = (*asked, "-n", "-P", "show", "qos", "format=name")
    return Probe("slurmdbd answers", command, r"normal(\n.*)*", deadline_s=180)


def _unit_file(names: AccountingNames) -> bytes:
    options = (
        "--no-defaults",
        f"--datadir={DATABASE_FOLDER}",
        f"--socket={SOCKET}",
        "--skip-networking",
        # slurmdbd asks for it: a transaction of its may wait for a long one.
        "--innodb-lock-wait-timeout=900",
    )
    lines = (
        "[Unit]",
        "Description=The database of Slurm's accounts",
        "[Service]",
        "Type=notify",
        f"User={OWNER}",
        "RuntimeDirectory=mysqld",
        f"TimerSlackNSec={LATE_S}s",
        "TimeoutStartSec=300",
        f"ExecStart={' '.join((names.program, *options, *FILES, *SMALL, *QUIET))}",
    )
    return ("\n".join(lines) + "\n").encode()


def _dbd_conf(head: Node) -> bytes:
    values = {
        "AuthType": "auth/munge",
        "DbdHost": head.name,
        "DbdAddr": head.address,
        "DbdPort": DBD_PORT,
        "SlurmUser": OWNER,
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "localhost",
        "StorageUser": OWNER,
        "StorageLoc": DATABASE,
        "LogFile": DBD_LOG,
        "PidFile": "/run/slurmdbd/slurmdbd.pid",
    }
    return "".join(f"{key}={value}\n" for key, value in values.items()).encode()
