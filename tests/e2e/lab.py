"""A small AWS on this machine to try things in: one Auto Scaling group `web`, not enabled, that nobody works on.

`make lab` starts it and writes the variables that point `spotward` and the AWS CLI at it to `.stage/lab.env`. It runs until
Ctrl-C; nothing of it is left afterwards. docs/tutorial.md walks through it.
"""

import pathlib
import shlex
import shutil
import signal
import sys
import tempfile

import cloud as clouds
import product
import servers

ACCOUNT = "123456789012"
ENVIRONMENT = servers.ROOT / ".stage" / "lab.env"


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


def stop(_signal, _frame):
    raise Stopped


def main():
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="spotward-lab-"))
    running = []
    try:
        running.append(servers.start_moto(directory))
        running.append(servers.start_stage(running[0], directory))
        region = clouds.new_cloud(running[1].url, account=ACCOUNT).network()
        region.group("web", size=2, enabled=False)
        write(region)
        print(f"EC2, Auto Scaling and prices on {region.stage_url}, with the group `web` of two on-demand members.")
        print(f"In another shell:  . {ENVIRONMENT.relative_to(servers.ROOT)}")
        print("Ctrl-C stops it.", flush=True)
        signal.pause()
    except Stopped:
        return 0
    except servers.ServerFailed as failure:
        servers.fail(str(failure))
    finally:
        # A second Ctrl-C must not leave half of them alive.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for process in reversed(running):
            process.stop()
        ENVIRONMENT.unlink(missing_ok=True)
        shutil.rmtree(directory, ignore_errors=True)


def write(region):
    """The variables, with waits set short: instances of the stage boot at once."""
    wanted = region.environment(SPOTWARD_DEFAULTS=product.defaults(retry_window="30s"), AWS_DEFAULT_REGION=region.region)
    lines = [f"export {key}={shlex.quote(value)}" for key, value in sorted(wanted.items()) if key.startswith("AWS_") or key == "SPOTWARD_DEFAULTS"]
    # Whatever else is asked, by the AWS CLI for instance, is asked here as well, and as nobody else.
    lines.append(f"export AWS_ENDPOINT_URL={region.stage_url}")
    lines.insert(0, "unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE")
    lines.append(f"export PATH={shlex.quote(str(pathlib.Path(product.binary('spotward')).parent))}:$PATH")
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    ENVIRONMENT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
