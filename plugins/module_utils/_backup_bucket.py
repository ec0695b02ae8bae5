# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bucket in which nobody can delete backups before their time: what it lacks, and how it gets that. The plan is pure, the effects go through boto3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.pgsteward.postgres.plugins.module_utils._errors import StewardError
from ansible_collections.pgsteward.postgres.plugins.module_utils._store_s3 import Bucket, S3Store

COMPLIANCE = "COMPLIANCE"
MAKE, LOCK, EXPIRE = (
    "make the bucket with object lock",
    "set the default retention",
    "set the expiry of former versions",
)
RULE = "pgsteward-former-versions"
PROBE = ".pgsteward-lock-check"


@dataclass(frozen=True)
class Found:
    """What there is. lock: whether the bucket has object lock at all; mode, days: its default retention; expiry: days after which
    versions that were overwritten or deleted go, by our rule."""

    exists: bool
    lock: bool = False
    mode: str | None = None
    days: int = 0
    expiry: int | None = None


@dataclass(frozen=True)
class Wanted:
    """What there is to be: days for which every file is locked when it arrives, days after which former versions go (None: leave that alone)."""

    days: int
    mode: str = COMPLIANCE
    expiry: int | None = None


@dataclass(frozen=True)
class Plan:
    """What is to be done, in order, the bucket afterwards, and what the operator should know."""

    steps: tuple[str, ...]
    after: Found
    notes: tuple[str, ...] = ()


def input_finding(wanted: Wanted) -> str | None:
    """Return what cannot be asked for."""
    if wanted.days < 1:
        return f"lock_days is {wanted.days}: give the days for which no key may delete a backup, at least 1"
    if wanted.expiry is not None and wanted.expiry < wanted.days:
        return f"expire_days is {wanted.expiry}, and files are locked for {wanted.days}: give at least as many"
    return None


def plan(found: Found, wanted: Wanted, name: str) -> Plan:
    """Return how the bucket becomes what is wanted; a retention is made stricter and never weaker.

    Raises StewardError when the bucket cannot be what is wanted.
    """
    finding = input_finding(wanted)
    if finding:
        raise StewardError(finding)
    if found.exists and not found.lock:
        raise StewardError(
            f"the bucket {name} has no object lock, and a bucket gets it when it is made: make another one for the backups,"
            " name it in the repositories, and keep this one until its backups have expired"
        )
    steps, notes = ([] if found.exists else [MAKE]), []
    mode, days, expiry = found.mode, found.days, found.expiry
    stricter = COMPLIANCE if COMPLIANCE in (mode, wanted.mode) else wanted.mode
    if mode != stricter or days < wanted.days:
        steps.append(LOCK)
        mode, days = stricter, max(days, wanted.days)
    if days > wanted.days:
        notes.append(
            f"files in {name} are locked for {days} days, longer than the {wanted.days} asked for: left as it is"
        )
    if mode != wanted.mode:
        notes.append(f"files in {name} are locked in {mode} mode, stricter than {wanted.mode}: left as it is")
    if mode != COMPLIANCE:
        notes.append(f"an administrator's key can lift locks in {mode} mode: {COMPLIANCE} closes that")
    if wanted.expiry is not None and expiry != max(wanted.expiry, days):
        steps.append(EXPIRE)
        expiry = max(wanted.expiry, days)
    if expiry is None:
        notes.append(f"former versions in {name} stay for good and cost their room: expire_days removes them in time")
    return Plan(tuple(steps), Found(True, True, mode, days, expiry), tuple(notes))


class Effects:
    """The bucket itself, by the key that is given."""

    def __init__(self, bucket: Bucket, client: Any = None) -> None:
        self.store = S3Store(bucket, client, patience=0)
        self.bucket = bucket

    def look(self) -> Found:
        """Return what there is."""
        try:
            self.store.client.head_bucket(Bucket=self.bucket.name)
        except Exception as error:
            if _code(error) in ("404", "NoSuchBucket"):
                return Found(False)
            self.store.call("cannot look at the bucket", "list_objects_v2", patient=False, MaxKeys=1)
        lock = self._or_none(
            "cannot read the object lock", "get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"
        )
        if lock is None:
            return Found(True)
        configuration = lock.get("ObjectLockConfiguration", {})
        retention = configuration.get("Rule", {}).get("DefaultRetention", {})
        days = int(retention.get("Days", 0)) or 365 * int(retention.get("Years", 0))
        enabled = configuration.get("ObjectLockEnabled") == "Enabled"
        return Found(True, enabled, retention.get("Mode"), days, self._expiry())

    def _expiry(self) -> int | None:
        rule = next((one for one in self._rules() if one.get("ID") == RULE), {})
        days = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
        return None if days is None else int(days)

    def _rules(self) -> list[dict[str, Any]]:
        said = self._or_none(
            "cannot read the rules of the bucket", "get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"
        )
        return list((said or {}).get("Rules", []))

    def _or_none(self, doing: str, method: str, absent: str) -> dict[str, Any] | None:
        try:
            return dict(getattr(self.store.client, method)(Bucket=self.bucket.name))
        except Exception as error:
            if _code(error) == absent:
                return None
        return dict(self.store.call(doing, method, patient=False))

    def apply(self, decided: Plan) -> None:
        """Do what is planned."""
        after = decided.after
        if MAKE in decided.steps:
            self.store.call(
                "cannot make the bucket",
                "create_bucket",
                patient=False,
                **self._region(),
                ObjectLockEnabledForBucket=True,
            )
        if LOCK in decided.steps:
            rule = {"DefaultRetention": {"Mode": after.mode, "Days": after.days}}
            self.store.call(
                "cannot set the retention",
                "put_object_lock_configuration",
                patient=False,
                ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
            )
        if EXPIRE in decided.steps:
            ours = {
                "ID": RULE,
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "NoncurrentVersionExpiration": {"NoncurrentDays": after.expiry},
            }
            others = [one for one in self._rules() if one.get("ID") != RULE]
            self.store.call(
                "cannot set the expiry",
                "put_bucket_lifecycle_configuration",
                patient=False,
                LifecycleConfiguration={"Rules": [*others, ours]},
            )

    def _region(self) -> dict[str, Any]:
        region = self.bucket.region
        return (
            {"CreateBucketConfiguration": {"LocationConstraint": region}} if region and not self.bucket.endpoint else {}
        )

    def prove(self) -> str:
        """Write a small file, fail to delete it for good, and find it again below the mark of its deletion; return what was seen.

        The file stays until its lock ends. Raises StewardError when this key can delete what it has written.
        """
        key = self.store.full(PROBE)
        written = self.store.call("cannot write", "put_object", patient=False, Key=key, Body=b"locked\n")
        version = written.get("VersionId")
        if not version:
            raise StewardError(f"{self.store} keeps no versions: what is deleted there is gone")
        try:
            self.store.client.delete_object(Bucket=self.bucket.name, Key=key, VersionId=version)
        except Exception as error:
            if _code(error) not in ("AccessDenied", "403"):
                raise StewardError(
                    f"{self.store}: whether a locked file can be deleted is not known ({error})"
                ) from None
        else:
            raise StewardError(
                f"{self.store}: this key has just deleted a file for good that was to be locked: the backups in it are not safe"
            )
        self.store.call("cannot delete", "delete_object", patient=False, Key=key)
        again = self.store.call("cannot read a former version", "get_object", patient=False, Key=key, VersionId=version)
        if again["Body"].read() != b"locked\n":
            raise StewardError(f"{self.store}: the version under the mark of deletion is another one than was written")
        return f"a file written to {self.store} cannot be deleted for good by this key, and was read again after its deletion"


def _code(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
