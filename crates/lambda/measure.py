"""Measures the function as Lambda runs it: size, start to the first `next`, memory, and the time of one event.

    python3 crates/lambda/measure.py [target/release/bootstrap] [runs]

Stands in for the Runtime API on loopback; nothing else is contacted.
"""

import http.server
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time
import zipfile
import io

binary = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/bootstrap").resolve()
runs = int(sys.argv[2]) if len(sys.argv) > 2 else 20


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(time.monotonic())
        self.server.reached.set()
        if not self.server.events:
            self.server.over.wait()
            return
        body = self.server.events.pop(0)
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "00000000-0000-4000-8000-000000000001")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 120_000))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:spotward")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]) if "Content-Length" in self.headers else 0)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def start(events):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RuntimeApi)
    server.daemon_threads = True
    server.asked, server.events = [], events
    server.reached, server.over = threading.Event(), threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "spotward",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/spotward",
        "AWS_LAMBDA_LOG_STREAM_NAME": "measure",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "measure",
        "AWS_SECRET_ACCESS_KEY": "measure",
    }
    started = time.monotonic()
    process = subprocess.Popen([binary], env=environment, stdout=subprocess.DEVNULL)
    return server, process, started


def resident_kib(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def cpu_ms(process):
    """Time on a CPU so far: what a start costs on a machine that has other things to do as well."""
    return int(pathlib.Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e6


def end(server, process):
    process.kill()
    process.wait()
    server.over.set()
    server.shutdown()
    server.server_close()


times, cpu, memory = [], [], []
for _ in range(runs):
    server, process, started = start([])
    assert server.reached.wait(10), "the function never asked for an event"
    times.append((server.asked[0] - started) * 1000)
    cpu.append(cpu_ms(process))
    time.sleep(0.05)
    memory.append(resident_kib(process))
    end(server, process)

server, process, _ = start([b'{"unknown":true}'] * 50)
while len(server.asked) < 51:
    time.sleep(0.01)
after = resident_kib(process)
end(server, process)

zipped = io.BytesIO()
with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
    archive.write(binary, "bootstrap")

size = os.path.getsize(binary)
print(f"binary                    {size / 1e6:.2f} MB")
print(f"zipped                    {len(zipped.getvalue()) / 1e6:.2f} MB")
print(f"start to first next       median {statistics.median(times):.1f} ms, least {min(times):.1f}, most {max(times):.1f} ({runs} starts)")
print(f"  CPU time of that        median {statistics.median(cpu):.1f} ms, least {min(cpu):.1f}, most {max(cpu):.1f}")
print(f"resident, idle            {max(memory) / 1024:.1f} MiB")
print(f"resident after 50 events  {after / 1024:.1f} MiB")
