# The configuration becomes specs, the specs become paths. No rules here.
import os
import shlex

from snakemake_interface_executor_plugins.settings import SharedFSUsage

from bood_tasks.artifacts.locks import FORCED, clear_stale_locks
from bood_tasks.artifacts.outside import require_writable
from bood_tasks.artifacts.spec import to_json
from bood_tasks.catalogue.products import PRODUCTS, targets
from bood_tasks.catalogue.stages import STAGES
from bood_tasks.cli import runs, terminal
from bood_tasks.cli.listing import summarise
from bood_tasks.cli.look import look
from bood_tasks.cli.runs import note_of
from bood_tasks.jobs.environment import prepare
from bood_tasks.plan import plan as planning
from bood_tasks.plan.asked import unfilled
from bood_tasks.plan.resources import resources_of
from bood_tasks.reporting.publish import exhibits

GIVEN = [file for file in (OWN, *workflow.overwrite_configfiles) if file]  # over the default
try:
    if workflow.is_main_process:  # Snakemake takes the last of two equal keys
        load.require_plain([files.DEFAULT, *GIVEN])
    CONFIG = load.load(
        config,
        look,
        files=[files.DEFAULT, *GIVEN],
        given=workflow.config_settings.config or (),
    )
    PLAN = planning.make(CONFIG)
    require_writable(Path("results"))
except (ValueError, FileNotFoundError, OSError) as error:
    raise WorkflowError(str(error)) from None


def require_shared_store():
    """Stop where jobs would not find each other's files: an artifact is a folder, of which
    Snakemake knows the manifest alone, so that a storage provider would carry no more."""
    told = workflow.storage_settings
    if told and SharedFSUsage.INPUT_OUTPUT not in told.shared_fs_usage:
        provider = told.default_storage_provider
        through = f" with --default-storage-provider {provider}" if provider else ""
        raise WorkflowError(
            "--shared-fs-usage must hold input-output: artifacts/ must lie in one folder that all "
            f"jobs see, got none{through}, which would keep manifests and lose what they list; run "
            "in a folder of the shared file system (--directory), without a storage provider and "
            "by an executor that uses that file system, as slurm or cluster-generic; to keep "
            "results elsewhere copy artifacts/ when the run has ended"
        )


def require_no_prefix():
    """Stop for a module with a `prefix:`, by which jobs would not find the store."""
    paths = workflow.modifier.path_modifier
    if MODULE and paths.replace_prefix("artifacts/x") != "artifacts/x":
        raise WorkflowError(
            "the module must be used without prefix and replace_prefix: its jobs look for "
            "artifacts/ in the working folder; to part its files from others give it a folder of "
            "its own (--directory)"
        )


prepare(CONFIG.run.model_dump())
OURS = workflow.is_main_process and not MODULE  # other rules have other lines
SCREEN = terminal.attach(workflow, PLAN) if OURS else None
if workflow.is_main_process:
    require_shared_store()
    require_no_prefix()
    if not workflow.output_settings.dryrun:  # which holds nothing
        clear_stale_locks(Path.cwd())
    for line in load.left_out(config, CONFIG):
        print(line, file=sys.stderr)
    for line in CONFIG.reasons():
        print(f"auto, as {line}", file=sys.stderr)


def require_data(config):
    """Stop before the first job if a published data set is not there; a dry run needs none."""
    absent = planning.absent(config)
    if absent:
        raise WorkflowError("\n".join(absent))


def note_force(told):
    """Let jobs know whether Snakemake was told to make finished things again."""
    forced = told.forceall or told.forcerun or told.forcetargets
    os.environ[FORCED] = "1" if forced else ""


def note_run(log):
    """Say what this run is, for `bood status` and results/README.md."""
    needrun = workflow.dag.needrun_jobs()
    run = runs.note(
        config,
        CONFIG,
        PLAN,
        files=workflow.overwrite_configfiles,
        overrides=dict(workflow.config_settings.config or {}),
        outputs=[name for job in needrun for name in job.output],
        log=os.path.relpath(log[0]) if log else "",
    )
    if SCREEN:
        SCREEN.begin(run.makes, keeps_going=workflow.execution_settings.keep_going)


def published(*kinds, target=""):
    """Return what a target waits for: of each of these products that this configuration has, the
    record in results/ and, once they lie there, its files. A target that has none is an error, and
    so is a numbered table or figure that would show nothing of its own."""
    if kinds == ("choice",) and PLAN.choice:
        return chosen
    made = [kind for kind in kinds if kind in PLAN.targets]
    why = [unfilled(CONFIG, PLAN.targets, target, made)] if made else []
    why = why or [f"this configuration has no {kind}: {PRODUCTS[kind].absent}" for kind in kinds]
    if any(why):

        def absent(wildcards):
            raise WorkflowError("\n".join(why))

        return absent
    return [name for kind in made for name in record_and_files(kind)]


def chosen(wildcards):
    """Return what the target `choice` waits for. Each rung is a checkpoint: when one is there, the
    next is planned, and what the run says of itself is told."""
    while not (PLAN.chosen and Path(PLAN.chosen.manifest).is_file()):
        rung = PLAN.choice[-1]
        checkpoints.choice_artifact.get(name=rung.name, digest=rung.digest)
        planning.plan_on(PLAN, CONFIG)
        more = runs.plan_on(note_of(config), PLAN)
        if SCREEN:
            SCREEN.more(more)
    return record_and_files("choice")


def record_and_files(kind):
    """Return a product's record, and its published files marked for `snakemake --report`."""
    record = Path(f"results/.published/{kind}-{PLAN.shown()[kind].digest}.json")
    # one label alone: of several, Snakemake's page makes switches, and fails where not all combine
    shown = exhibits(record).items()
    marked = [report(name, category=kind, labels={"result": text}) for name, text in shown]
    return [str(record), *marked]


def spec(wildcards):
    """Return the spec behind a path's digest."""
    try:
        return PLAN.specs[wildcards.digest]
    except KeyError:
        raise WorkflowError(
            f"no artifact {wildcards.digest} in this configuration; "
            "`bood ls` lists those that exist"
        ) from None


def upstream(wildcards):
    """Return the manifests an artifact is made from; content decides, never their age."""
    return [ancient(item.manifest) for item in spec(wildcards).upstream()]


def order(wildcards, input):
    """Return a job's order: its inputs, its artifact's spec, what it reads from outside, and the
    shards that follow in its pack. It goes through a file where it is too long for a shell."""
    made = spec(wildcards)
    arguments = ["--in", *input, "--spec", to_json(made.identity()), f"--source={made.source}"]
    if following := planning.following(PLAN, made, CONFIG.run.pack - 1):
        arguments += ["--then", *following]
    text = shlex.join(arguments)
    if len(text) < 64_000:  # of the 128 KiB that one argument of a command may have
        return text
    path = Path(".snakemake", "bood", f"{wildcards.digest}.arguments")
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text("\n".join(arguments), encoding="utf-8")
    scratch.replace(path)
    return f"--arguments {path}"


def cores(wildcards):
    """Return a job's threads."""
    return resources_of(spec(wildcards)).threads


def memory(wildcards, attempt):
    """Return a job's memory in MB; a retry gets more."""
    return resources_of(spec(wildcards)).mem_mb * attempt


def minutes(wildcards, attempt):
    """Return a job's time limit; what a try has done is kept, and the next one gets longer."""
    made = spec(wildcards)
    return (
        resources_of(made).runtime * attempt * (CONFIG.run.pack if STAGES[made.stage].packs else 1)
    )


def artifact(wildcards):
    """Return the manifest that a publication copies from."""
    return ancient(PLAN.specs[wildcards.digest].manifest)
