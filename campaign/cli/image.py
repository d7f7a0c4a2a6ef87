"""`hpc-campaign image`: the image store, the builder, and the files that it needs of others."""

import argparse
import string
import tempfile
from pathlib import Path
from typing import Any

from campaign.cli.output import add_json, print_json, say, table
from campaign.core.errors import ImageError
from campaign.core.files import user_path
from campaign.extras.required import require
from campaign.extras.table import FILES, HOSTS
from campaign.images.builders import BUILDERS, build
from campaign.images.bundles.diff import differences
from campaign.images.bundles.manifest import Bundle
from campaign.images.bundles.store import MissingImageError, Store
from campaign.images.debian import builder
from campaign.images.debian.third_party import DEFAULT_FOLDER, VARIABLE, folder_of
from campaign.schema.image import ImageSettings

HEADS = ("hash", "name", "builder", "MiB", "kernel")
DEFAULT_STORE = ImageSettings.model_fields["store"].default


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--store",
        type=user_path,
        default=DEFAULT_STORE,
        help=f"image store (default: {DEFAULT_STORE})",
    )
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_json(below.add_parser("list", help="the bundles of the store, newest first"))
    _configure_build(
        below.add_parser(
            "build", help="build a bundle from its specification and lock, or with the Nix flake"
        )
    )
    _configure_extras(
        below.add_parser(
            "extras", help="bring the third-party files of an image from their publishers"
        )
    )
    lock = below.add_parser("lock", help="renew the lock with what the mirror has")
    lock.add_argument("name", nargs="?", default="slurm")
    lock.add_argument("--mirror")
    for action, summary in {
        "show": "a bundle's manifest",
        "verify": "hash every file of a bundle again",
        "remove": "remove a bundle",
    }.items():
        below.add_parser(action, help=summary).add_argument(
            "image", help="hash, its beginning, or name (the newest)"
        )
    diff = below.add_parser("diff", help="what differs between two bundles: packages, facts, files")
    for which in ("one", "other"):
        diff.add_argument(which, help="hash, its beginning, or name (the newest)")
    diff.add_argument(
        "--no-files", dest="files", action="store_false", help="leave out the files of the roots"
    )
    gc = below.add_parser("gc", help="remove all bundles but the newest of each name")
    gc.add_argument("--keep", action="append", default=[], metavar="HASH", help="keep this one too")


def _configure_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", default="slurm")
    parser.add_argument(
        "--builder",
        choices=BUILDERS,
        default="debian",
        help="auto: nix where Nix is (default: debian)",
    )
    parser.add_argument(
        "--flake", help="nix: the flake, as Nix names one (default: this project's)"
    )
    parser.add_argument(
        "--locked",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="debian: refuse versions that differ from the lock (default), or take them",
    )
    parser.add_argument(
        "--mirror", help="debian: package mirror (default: the one this machine's apt uses)"
    )
    _add_folder(parser, "debian: folder of files that no mirror has")


def _configure_extras(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the image: " + ", ".join(FILES))
    _add_folder(parser, "folder for the files")
    parser.add_argument(
        "--mirror",
        action="append",
        default=[],
        type=_mirror,
        metavar="HOST=URL",
        help="take what HOST publishes from below URL; may be repeated. The hosts are "
        + ", ".join(HOSTS),
    )


def _add_folder(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--extras", help=f"{what} (default: ${VARIABLE}, else {DEFAULT_FOLDER})")


def _mirror(text: str) -> tuple[str, str]:
    """Return a publisher's host and the address that is asked instead."""
    host, _, url = text.partition("=")
    if host not in HOSTS or not url.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(
            f"{text!r} should be HOST=URL, where HOST is one of {', '.join(HOSTS)} and URL "
            "begins with https:// or http://"
        )
    return host, url


def run(options: argparse.Namespace) -> int:
    """Run one action on the store."""
    store = Store(options.store)
    actions = {
        "list": _list,
        "build": _build,
        "extras": _extras,
        "lock": _lock,
        "gc": _gc,
        "diff": _diff,
    }
    actions.get(options.action, _one)(store, options)
    return 0


def _list(store: Store, options: argparse.Namespace) -> None:
    bundles = store.bundles()
    if options.json:
        print_json([_as_data(bundle) for bundle in bundles])
        return
    if bundles:
        say(table(HEADS, [_row(bundle) for bundle in bundles]))
    else:
        say(f"{options.store} holds no images; `hpc-campaign image build slurm` makes one")


def _build(store: Store, options: argparse.Namespace) -> None:
    require(options.name, options.builder, extras=options.extras)
    bundle = build(
        options.name,
        builder=options.builder,
        store=store,
        extras=options.extras,
        mirror=options.mirror,
        locked=options.locked,
        flake=options.flake,
    )
    say(_line(bundle))


def _extras(_: Store, options: argparse.Namespace) -> None:
    from campaign.cli.downloading import watching
    from campaign.extras.bring import bring
    from campaign.extras.download import Downloads

    folder = folder_of(options.extras)
    downloads = Downloads({HOSTS[host]: url for host, url in options.mirror})
    with watching() as watch:
        bring(options.name, folder, downloads, watch)
    say(f"all files of the image {options.name} are in {folder}")


def _lock(store: Store, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for line in builder.renew_lock(
            options.name, mirror=options.mirror, scratch=Path(folder) / "apt"
        ):
            say(line)


def _stored(store: Store, wanted: str) -> Bundle:
    """Return a bundle of the store; an ImageError names only images that can be built."""
    try:
        return store.get(wanted)
    except MissingImageError as error:
        if set(wanted) <= set(string.hexdigits):
            raise
        try:
            builder.spec(wanted)
        except ImageError as unknown:
            raise MissingImageError(
                error.brief,
                error.details,
                f"Use one of those; to build, {unknown.details}.",
            ) from None
        raise


def _diff(store: Store, options: argparse.Namespace) -> None:
    one = _stored(store, options.one)
    other = _stored(store, options.other)
    same = True
    for line in differences(one, other, files=options.files):
        say(line)
        same = False
    if same:
        say(f"the same: {_line(one)}")


def _gc(store: Store, options: argparse.Namespace) -> None:
    newest = {bundle.manifest.name: bundle.hash for bundle in reversed(store.bundles())}
    for bundle in store.gc(
        [*newest.values(), *(_stored(store, wanted).hash for wanted in options.keep)]
    ):
        say(f"removed {_line(bundle)}")


def _one(store: Store, options: argparse.Namespace) -> None:
    bundle = _stored(store, options.image)
    if options.action == "show":
        print_json(bundle.manifest.model_dump(mode="json"))
    elif options.action == "verify":
        store.verify(bundle, deep=True)
        say(f"sound: {_line(bundle)}")
    else:
        store.remove(bundle)
        say(f"removed {_line(bundle)}")


def _row(bundle: Bundle) -> tuple[str, ...]:
    manifest = bundle.manifest
    size = str(_bytes(bundle) >> 20)
    return (bundle.hash[:16], manifest.name, manifest.builder, size, manifest.kernel_version)


def _as_data(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "hash": bundle.hash,
        "name": manifest.name,
        "builder": manifest.builder,
        "kernel": manifest.kernel_version,
        "bytes": _bytes(bundle),
        "path": bundle.path,
    }


def _bytes(bundle: Bundle) -> int:
    return sum(file.size for file in bundle.manifest.files.values())


def _line(bundle: Bundle) -> str:
    manifest = bundle.manifest
    size = f"{_bytes(bundle) >> 20:>5} MiB"
    made = f"{manifest.name:<10} {manifest.builder:<8}"
    return f"{bundle.hash[:16]}  {made} {size}  kernel {manifest.kernel_version}"
