"""buckets.py ENDPOINT CA: makes the plain buckets of the scenario and lets the backup's account into those of backups, by the runbook's own policy.

The administrator's keys are in the environment, where boto3 looks for them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import boto3

RUNBOOK = Path(__file__).resolve().parents[3] / "docs" / "runbooks" / "ransomware.md"
PLAIN = ("backups", "dumps", "other")
OWN = ("backups", "dumps", "locked")  # what the backup's account may use
NAMED, ACCOUNT = "backups-locked", "arn:aws:iam:::user/backup"


def policy(bucket: str) -> str:
    """Return the policy that the runbook gives, for a bucket of this store."""
    (text,) = re.findall(r"```json\n(.*?)```", RUNBOOK.read_text(), flags=re.DOTALL)
    return re.sub(r'"arn:aws:iam:[^"]*"', f'"{ACCOUNT}"', text).replace(NAMED, bucket)


def main(endpoint: str, authority: str) -> None:
    """Make the buckets, set the policies; a second run changes nothing."""
    store = boto3.client("s3", endpoint_url=endpoint, verify=authority, region_name="us-east-1")
    there = {bucket["Name"] for bucket in store.list_buckets()["Buckets"]}
    for bucket in set(PLAIN) - there:
        store.create_bucket(Bucket=bucket)
    for bucket in OWN:
        store.put_bucket_policy(Bucket=bucket, Policy=policy(bucket))


if __name__ == "__main__":
    main(*sys.argv[1:])
