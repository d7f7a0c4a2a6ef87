"""The guest contract, kept by the Debian bundles that nodes of this machine really boot."""

import pytest

from campaign.images.bundles import tools
from campaign.images.bundles.facts import image_facts
from campaign.images.contract import Guest, violations
from schedulers.registry import adapter, names
from schedulers.requirements import requirements_of
from tests.adapters import images_of


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "image"), [(name, image) for name in names() for image in images_of(adapter(name))]
)
def test_a_bundle_has_what_its_schedulers_plans_ask_for(name, image, bundle_of, tmp_path):
    scheduler = adapter(name)
    bundle = bundle_of(image)
    tools.run(["fsck.erofs", f"--extract={tmp_path / 'root'}", str(bundle.root)])
    facts = bundle.manifest.facts
    guest = Guest.of_tree(
        tmp_path / "root", kernel_cmdline=bundle.manifest.kernel_cmdline, facts=facts
    )
    bound = scheduler.for_image(image_facts(bundle.manifest))
    assert list(violations(image, guest, requirements_of(bound))) == []
