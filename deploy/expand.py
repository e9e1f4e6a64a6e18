"""template.yaml without its SAM transform, for StackSets: `make stackset` (docs/deploy.md).

Stack sets with service-managed permissions refuse templates with transforms, and Lambda takes code only from a bucket of its own
region. So this writes the plain template, whose code comes from the bucket `CodeBucketPrefix-REGION`.
usage: expand.py TEMPLATE KEY_OF_THE_ARCHIVE OUTPUT.json    (in the environment of the SAM CLI)
"""

import json
import os
import pathlib
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

PLACEHOLDER = {"Bucket": "code-bucket", "Key": "code-key"}


class NoManagedPolicies:
    """We name none, so none has to be looked up in an account."""

    def load(self):
        return {}


def main(template_path, key, output_path):
    template = yaml_parse(pathlib.Path(template_path).read_text())
    function = template["Resources"]["Function"]
    function["Properties"]["CodeUri"] = PLACEHOLDER
    function.pop("Metadata", None)
    parameters = template["Parameters"]
    parameters["CodeBucketPrefix"] = {
        "Type": "String",
        "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,40}[a-z0-9]$",
        "ConstraintDescription": "the first part of a bucket's name",
        "Description": "The function's archive lies in the bucket of this name, a hyphen and the region.",
    }
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    groups.append({"Label": {"default": "Where the code comes from"}, "Parameters": ["CodeBucketPrefix"]})
    # The translator wants a region to know the partition by; what it makes of ours names none (asserted below).
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    # CloudFormation fills defaults in before the transform: what the translator does not know, it leaves to CloudFormation.
    plain = json.loads(json.dumps(transform(template, {}, NoManagedPolicies())))
    code = plain["Resources"]["Function"]["Properties"]["Code"]
    assert code == {"S3Bucket": PLACEHOLDER["Bucket"], "S3Key": PLACEHOLDER["Key"]}, code
    code["S3Bucket"] = {"Fn::Sub": "${CodeBucketPrefix}-${AWS::Region}"}
    code["S3Key"] = key
    assert "Transform" not in plain
    text = json.dumps(plain, separators=(",", ":"))
    # CloudFormation takes no more from S3.
    assert len(text.encode()) < 1_000_000, "too large for CloudFormation"
    pathlib.Path(output_path).write_text(text + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
