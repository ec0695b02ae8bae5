# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the option that says where dumps are."""

from __future__ import annotations


class ModuleDocFragment:
    """DOCUMENTATION: the store."""

    DOCUMENTATION = r"""
options:
  store:
    description:
      - Where the dumps are, a directory of the host (O(store.path)) or a bucket (O(store.bucket)).
      - Files of a database stand below its name, C(<database>/backup_<environment>_YYYYMMDD_HHMMSS) with an ending.
    type: dict
    required: true
    suboptions:
      path:
        description: Directory of the host.
        type: path
      bucket:
        description: Name of a bucket of S3, or of something that speaks it.
        type: str
      prefix:
        description: What keys in the bucket begin with.
        type: str
        default: ''
      endpoint:
        description: Where the bucket is, such as V(https://s3.example.org:9000). Without it Amazon's, by O(store.region).
        type: str
      region:
        description: Region of the bucket, V(us-east-1) without it.
        type: str
      access_key:
        description: Access key. Without keys, boto3 looks for them where it always does.
        type: str
      secret_key:
        description: Secret of that key.
        type: str
      ca_cert:
        description: File of the host with the authorities that may have signed the certificate of O(store.endpoint).
        type: path
      path_style:
        description: Whether the bucket's name is in the path of addresses, as stores of your own want it, and not in the host name.
        type: bool
        default: true
      server_side_encryption:
        description: How the store encrypts what it writes to its disks.
        type: str
        choices: [AES256, 'aws:kms']
      kms_key_id:
        description: Key for V(aws:kms).
        type: str
      lock_mode:
        description:
          - How new files are locked against removal, for O(store.lock_days). Used where the bucket has object locks, and reported where it has not.
          - A bucket with a retention of its own locks files without it.
        type: str
        choices: [GOVERNANCE, COMPLIANCE]
      lock_days:
        description: For how many days.
        type: int
        default: 0
      encryption_key_file:
        description:
          - File of the host with keys of 256 bits, one on each line in hex or base64, not open to everybody. Files are encrypted on the host with the
            first (AES-256-GCM), and all of them decrypt.
        type: path
requirements:
  - boto3 for the interpreter that runs the module, for buckets
  - cryptography for the interpreter that runs the module, with O(store.encryption_key_file)
"""
