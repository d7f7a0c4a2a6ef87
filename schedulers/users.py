"""A cluster's users on its nodes: who they are, made by a step of a plan."""

from campaign.core.cluster import ClusterModel
from schedulers.base import File, Step

USERS_FILE = "/etc/campaign-users"
_ADD = f"""
known=$(</etc/passwd)
while IFS=: read -r name _ number _; do
    if [[ $'\\n'$known == *$'\\n'"$name":* ]]; then
        [[ $'\\n'$known == *$'\\n'"$name:x:$number:"* ]] && continue
        echo "the node has a user $name of its own" >&2
        exit 1
    fi
    printf '%s:x:%s:%s::/:/bin/bash\\n' "$name" "$number" "$number" >>/etc/passwd
    printf '%s:x:%s:\\n' "$name" "$number" >>/etc/group
done <{USERS_FILE}
"""


def users_step(model: ClusterModel) -> Step:
    """Return the step by which a node knows the users, each with a group of the same name."""
    lines = (f"{user.name}:x:{user.uid}:\n" for user in model.users)
    return Step(
        files=(File(USERS_FILE, "".join(lines).encode()),), commands=(("bash", "-euc", _ADD),)
    )
