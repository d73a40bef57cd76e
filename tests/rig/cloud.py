"""EC2 on the network: moto hands out the addresses of a subnet in order, and hosts sit on them.

What it starts is not a machine, so the hosts have to be there before, with sshd: the head at the
first address, workers at the next ones. All that Ray's launcher and autoscaler ask of AWS is asked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests import ROOT
from tests.rig.bucket import ENVIRONMENT
from tests.rig.hosts import SUBNET, Host
from tests.rig.ssh import KEY, Key

SHIPPED = ROOT / "cluster.yaml"
FIRST_ADDRESS = 4
"""AWS keeps the first four addresses of a subnet for itself; so does moto."""
KEY_NAME, ZONE, PROFILES = "rig", "us-east-1a", ("raycompare-head", "raycompare-worker")
CPU_TYPE = "m5.large"
"""2 CPUs, and no GPU, which the hosts have not."""

_CALLS = """
import boto3, json, sys
about, ec2, iam = json.load(sys.stdin), boto3.client("ec2"), boto3.client("iam")
vpc = ec2.create_vpc(CidrBlock=about["network"])["Vpc"]["VpcId"]
place = {"CidrBlock": about["network"], "AvailabilityZone": about["zone"]}
subnet = ec2.create_subnet(VpcId=vpc, **place)["Subnet"]["SubnetId"]
ec2.import_key_pair(KeyName=about["key_name"], PublicKeyMaterial=about["public"].encode())
for name in about["profiles"]:
    iam.create_instance_profile(InstanceProfileName=name)
print(json.dumps({"subnet": subnet, "image": ec2.describe_images()["Images"][0]["ImageId"]}))
"""
_INSTANCES = """
import boto3, json
made = [i for r in boto3.client("ec2").describe_instances()["Reservations"] for i in r["Instances"]]
keys = ("PrivateIpAddress", "InstanceLifecycle", "InstanceType", "IamInstanceProfile")
print(json.dumps([{k: i.get(k) for k in keys} | {"State": i["State"]["Name"]} for i in made]))
"""


@dataclass(frozen=True)
class Account:
    """An AWS account that is ready for `ray up`."""

    client: Host
    subnet: str
    image: str

    @classmethod
    def opened(cls, client: Host, key: Key) -> Account:
        """Make a subnet, a key pair and the instance profiles."""
        about = {
            "network": f"{SUBNET}.0/24",
            "zone": ZONE,
            "key_name": KEY_NAME,
            "public": key.public,
            "profiles": PROFILES,
        }
        made = _ask(client, _CALLS, json.dumps(about))
        return cls(client, made["subnet"], made["image"])

    def instances(self) -> list[dict[str, Any]]:
        """Return what EC2 has started, also what is terminated."""
        found: list[dict[str, Any]] = _ask(self.client, _INSTANCES, "")
        return found


def cluster_file(subnet: str, image: str, environment: Mapping[str, str], idle_s: int) -> str:
    """Return cluster.yaml for such an account: one worker without GPU, ssh as root.

    The environment that the file would make by pip is this one, which the hosts see; there is no
    index of packages in their network.
    """
    content = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    content["max_workers"] = 1
    content["provider"] |= {"availability_zone": ZONE, "use_internal_ips": True}
    content["auth"] = {"ssh_user": "root", "ssh_private_key": KEY}
    for kind in content["available_node_types"].values():
        kind["node_config"] |= {
            "InstanceType": CPU_TYPE,
            "ImageId": image,
            "KeyName": KEY_NAME,
            "SubnetIds": [subnet],
        }
    content["available_node_types"]["gpu_worker"] |= {"max_workers": 1, "idle_timeout_s": idle_s}
    extra = " ".join(f"{key}={value}" for key, value in environment.items())
    for part in ("setup_commands", "head_setup_commands"):
        kept = (command for command in content[part] if "~/venv/bin/pip" not in command)
        content[part] = [_with_environment(command, extra) for command in kept]
    return yaml.safe_dump(content, sort_keys=False)


def _with_environment(command: str, extra: str) -> str:
    bucket = "RAYCOMPARE_OUT=s3://my-bucket/raycompare"
    here = command.replace("$HOME/venv/bin", f"{sys.prefix}/bin")
    return here.replace(bucket, f"PYTHONPATH=$HOME/raycompare {extra}")


def _ask(client: Host, script: str, told: str) -> Any:
    client.write("/root/ask.py", script)
    client.write("/root/told.json", told)
    exports = " ".join(f"{key}={value}" for key, value in ENVIRONMENT.items())
    said = client.run(f"export {exports}; {sys.executable} ask.py < told.json")
    return json.loads(said)
