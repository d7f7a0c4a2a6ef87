"""Lines of slurm.conf that are no parameters: which a site's trial gets as they stand, and why not.

The keys are those of Slurm 24.11 (slurm_conf_options in its src/common/read_config.c).
"""

import re

from schedulers.site_settings import Verdict

KNOWN = frozenset(
    """
    accountingstoragebackuphost accountingstorageenforce accountingstorageexternalhost
    accountingstoragehost accountingstorageloc accountingstorageparameters accountingstoragepass
    accountingstorageport accountingstoragetres accountingstoragetype accountingstorageuser
    accountingstoreflags accountingstorejobcomment acctgatherenergytype acctgatherfilesystemtype
    acctgatherinfinibandtype acctgatherinterconnecttype acctgathernodefreq acctgatherprofiletype
    allowspecresourcesusage authaltparameters authalttypes authinfo authtype backupaddr
    backupcontroller batchstarttimeout bcastexclude bcastparameters burstbufferparameters
    burstbuffertype certmgrparameters certmgrtype clifilterplugins clustername
    communicationparameters completewait controladdr controlmachine corespecplugin cpufreqdef
    cpufreqgovernors credtype cryptotype dataparserparameters debugflags defcpupergpu
    defmempercpu defmempergpu defmempernode dependencyparameters disablerootjobs downnodes
    eiotimeout enforcepartlimits epilog epilogmsgtime epilogslurmctld extsensorsfreq
    extsensorstype fairsharedampeningfactor fastschedule federationparameters firstjobid
    frontendname getenvtimeout gpufreqdef grestypes groupupdateforce groupupdatetime hashplugin
    healthcheckinterval healthchecknodestate healthcheckprogram inactivelimit
    interactivestepoptions jobacctgatherfrequency jobacctgatherparams jobacctgathertype
    jobcomphost jobcomploc jobcompparams jobcomppass jobcompport jobcomptype jobcompuser
    jobcontainertype jobcredentialprivatekey jobcredentialpubliccertificate jobfileappend
    jobrequeue jobsubmitplugins keepalivetime killonbadexit killwait launchparameters launchtype
    licenses logtimeformat maildomain mailprog maxarraysize maxbatchrequeue maxdbdmsgs
    maxjobcount maxjobid maxmempercpu maxmempernode maxnodecount maxstepcount maxtaskspernode
    mcsparameters mcsplugin messagetimeout minjobage mpidefault mpiparams nodefeaturesplugins
    nodename nodeset overtimelimit partitionname plugindir plugstackconfig powerparameters
    powerplugin preemptexempttime preemptmode preemptparameters preempttype prepparameters
    prepplugins prioritycalcperiod prioritydecayhalflife priorityfavorsmall priorityflags
    prioritymaxage priorityparameters prioritysitefactorparameters prioritysitefactorplugin
    prioritytype priorityusageresetperiod priorityweightage priorityweightassoc
    priorityweightfairshare priorityweightjobsize priorityweightpartition priorityweightqos
    priorityweighttres privatedata proctracktype prolog prologepilogtimeout prologflags
    prologslurmctld propagateprioprocess propagateresourcelimits propagateresourcelimitsexcept
    rebootprogram reconfigflags requeueexit requeueexithold resumefailprogram resumeprogram
    resumerate resumetimeout resvepilog resvoverrun resvprolog returntoservice routeplugin
    sallocdefaultcommand sbcastparameters schedulerparameters schedulertimeslice schedulertype
    scronparameters selecttype selecttypeparameters slurmctldaddr slurmctlddebug slurmctldhost
    slurmctldlogfile slurmctldparameters slurmctldpidfile slurmctldport slurmctldprimaryoffprog
    slurmctldprimaryonprog slurmctldsyslogdebug slurmctldtimeout slurmddebug slurmdlogfile
    slurmdparameters slurmdpidfile slurmdport slurmdspooldir slurmdsyslogdebug slurmdtimeout
    slurmduser slurmschedlogfile slurmschedloglevel slurmuser srunepilog srunportrange
    srunprolog statesavelocation suspendexcnodes suspendexcparts suspendexcstates suspendprogram
    suspendrate suspendtime suspendtimeout switchparameters switchtype taskepilog taskplugin
    taskpluginparam taskprolog tcptimeout tlsparameters tlstype tmpfs topologyparam
    topologyplugin trackwckey treewidth unkillablestepprogram unkillablesteptimeout usepam
    vsizefactor waittime x11parameters
    """.split()  # noqa: SIM905 - a list would take a line for each
)
"""What slurmctld reads; any other key ends it."""
PASSED_ON = frozenset(
    """
    completewait dependencyparameters enforcepartlimits jobrequeue killwait maxbatchrequeue
    maxmempercpu maxmempernode preemptexempttime preemptparameters requeueexit requeueexithold
    resvoverrun schedulertimeslice
    """.split()  # noqa: SIM905
)
"""Those that say something to the controller alone, and want nothing that only the site has."""
DECIDE = {
    "accountingstorageenforce": "it is enforced where the cluster has accounts",
    "accountingstoragetres": "what is counted is what the cluster has",
    "defmempernode": "a job that asks for no memory has a slot's share of its node",
    "grestypes": "GPUs count, of the cluster; other devices don't",
    "jobsubmitplugins": "a plugin of the site's",
    "licenses": "no job asks for licenses here",
    "maxarraysize": "tasks of arrays are jobs of their own here",
    "preemptmode": "import with --cluster, or set cluster.partitions.NAME.preempt",
    "preempttype": "import with --cluster, or set cluster.partitions.NAME.preempt",
    "priorityparameters": "a plugin of the site's",
    "prioritysitefactorplugin": "a plugin of the site's",
    "priorityweighttres": "not every site's resources are counted: set lines.PriorityWeightTRES",
    "prolog": "programs of the site's don't run here",
    "prologflags": "programs of the site's don't run here",
    "prologslurmctld": "programs of the site's don't run here",
    "suspendtime": "nodes don't sleep here",
    "topologyparam": "nodes have no topology here",
    "topologyplugin": "nodes have no topology here",
    "unkillablesteptimeout": "payloads end when they are told to",
}
"""Those that decide which job starts when, and why they aren't taken."""
IGNORED = (
    (
        r"(clustername|(slurmctld|control|backup).*(host|addr|machine|controller))",
        "names, addresses",
    ),
    (r".*(port|portrange)", "ports"),
    (r"(auth|cred|crypto|jobcredential|tls|certmgr|hash|mcs|private).*", "keys and rights"),
    (r"(suspend|resume|power|reboot).*", "nodes don't sleep or boot by themselves here"),
    (r"(.*(epilog|prolog|program|prog)(slurmctld)?|prep.*)", "programs of the site's"),
    (r".*(dir|loc|location|file|config|tmpfs)", "paths"),
    (r"(.*debug.*|log.*|slurmsched.*)", "what is logged"),
    (r"(jobcomp|account|jobacct|acctgather|extsensors).*", "accounts have their own way here"),
    (r".*(plugin|plugins|type)", "plugins"),
)
"""What the names of other lines tell of them, and what they are about."""


def verdict_on(key: str) -> tuple[Verdict, str]:
    """Return what is made of a line that is no parameter and isn't passed on, and why."""
    name = key.lower()
    if name in DECIDE:
        return "missing", DECIDE[name]
    if name not in KNOWN:
        return "refused", "Slurm 24.11 has no such line"
    about = (why for pattern, why in IGNORED if re.fullmatch(pattern, name))
    return "other", next(about, "")
