"""Audit: known vulnerabilities of the packages in lock files: python -m deploy.supply.audit LOCK …

pip-audit queries PyPI. It has the same exit status for a vulnerability and for no answer, which
this program distinguishes.

exit status: 0 when no vulnerability is known, or the service is unavailable (with a message);
1 when one is known; 2 when the lock files cannot be read.
"""

import json
import subprocess
import sys
from typing import Any

FOUND, UNREADABLE = 1, 2
UNREACHABLE = ("ConnectionError", "ServiceError", "Timeout", "HTTPError")
Package = dict[str, Any]  # of pip-audit's JSON: name, and version with vulns, or skip_reason


def main(arguments: list[str]) -> int:
    """`arguments` are lock files and pip-audit's own options."""
    files = [argument for argument in arguments if argument.endswith(".lock")]
    options = [argument for argument in arguments if argument not in files]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"),
            *("--progress-spinner", "off", "--desc", "off", "--format", "json", *options),
            *(part for file in files for part in ("--requirement", file)),
        ],
        capture_output=True,
        text=True,
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        words = (done.stderr.strip().splitlines() or ["pip-audit printed nothing"])[-1]
        if any(name in words for name in UNREACHABLE):
            kind = words.split(":")[0]
            print(f"not audited: the vulnerability service is unavailable ({kind})")
            return 0
        print(words, file=sys.stderr)
        return UNREADABLE
    return report(packages)


def report(packages: list[Package]) -> int:
    """Print the vulnerabilities. Returns the exit status."""
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    vulnerable = [package for package in packages if package.get("vulns")]
    for package in vulnerable:
        for found in package["vulns"]:
            names = ", ".join([found["id"], *found["aliases"]])
            fixed = ", ".join(found["fix_versions"]) or "no version"
            print(f"{package['name']} {package['version']}: {names}, fixed in {fixed}")
    if len(skipped) == len(packages):
        print("not audited: the vulnerability service knows none of the packages (is it a mirror?)")
    elif skipped:
        print(f"not audited, unknown to the vulnerability service: {', '.join(skipped)}")
    audited = len(packages) - len(skipped)
    print(f"{audited} of {len(packages)} packages audited, {len(vulnerable)} vulnerable")
    return FOUND if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
