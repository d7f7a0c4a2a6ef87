"""Submits the manifests whose paths it reads: a program for the head node.

`schedulers.interface.BoundScheduler.session_command` says what it reads and answers.
Arguments: the kubeconfig file (JSON), and the API's path under which jobs are created. All goes
over one connection.
"""

import http.client
import json
import ssl
import sys
from pathlib import Path
from typing import Any

USER = "campaign.dev/user"
"""The annotation of a manifest that says who submits it; without it, the kubeconfig's user does."""


def main(kubeconfig: str, path: str) -> None:
    """Submit until the input ends."""
    config = json.loads(Path(kubeconfig).read_text(encoding="utf-8"))
    cluster = config["clusters"][0]["cluster"]
    token = config["users"][0]["user"]["token"]
    trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
    # The one certificate that is trusted is the server's own: its name says nothing more.
    trust.check_hostname = False
    server = http.client.HTTPSConnection(
        cluster["server"].removeprefix("https://"), timeout=50, context=trust
    )
    server.connect()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def post(manifest: bytes) -> Any:
        user = json.loads(manifest)["metadata"].get("annotations", {}).get(USER)
        own = {"Impersonate-User": user} if user else {}
        server.request("POST", path, manifest, headers | own)
        return json.loads(server.getresponse().read())

    print("ready")
    for line in sys.stdin:
        try:
            manifest = Path(line.strip()).read_bytes()
            try:
                answer = post(manifest)
            except (ConnectionError, ssl.SSLEOFError):
                # The API server ends a connection that nothing came over for a while.
                server.close()
                answer = post(manifest)
        except (OSError, http.client.HTTPException, ValueError) as error:
            server.close()
            print(1, " ".join(str(error).split()), sep="\t")
            continue
        if answer["kind"] == "Status":
            print(1, " ".join(str(answer.get("message")).split()), sep="\t")
        else:
            print(0, answer["metadata"]["name"], sep="\t")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
