#!/bin/sh
# How long `orca evidence verify` and `rejudge` take on a pack of 100 MB and more, and how much memory.
# The pack is a real one, made larger: its load ruling and what it saw stand in it COPIES times, each
# at another time and with 400 more endpoints, in one unbroken chain, with every digest, the statement and the signatures new.
# ORCA names the binary (target/release/orca unless set), MB the size of the exhibits in megabytes.
# A third figure is a pack of the same size whose files do not compress, such as pictures.
set -eu
cd "$(dirname "$0")/../.."
orca=$(realpath "${ORCA:-target/release/orca}" 2>/dev/null || true)
[ -x "$orca" ] || { cargo build --quiet --release; orca=$(realpath target/release/orca); }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
base64 -d tests/fixtures/pack_v1/pack.zip.gz.base64 | gzip -dc >"$folder/small.zip"
openssl genpkey -algorithm ed25519 -out "$folder/key.pem" 2>/dev/null
openssl pkey -in "$folder/key.pem" -pubout -out "$folder/key.pub"
python3 - "$orca" "$folder" "${MB:-100}" <<'PY'
import base64, hashlib, json, os, random, resource, statistics, subprocess, sys, time, zipfile

orca, folder, megabytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
canonical = lambda value: json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
sha = lambda data: hashlib.sha256(data).hexdigest()
PUBLIC = open(f"{folder}/key.pub", "rb").read()

def sign(data):
    open(f"{folder}/message", "wb").write(data)
    subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", f"{folder}/key.pem", "-rawin", "-in", f"{folder}/message",
                    "-out", f"{folder}/signature"], check=True)
    return open(f"{folder}/signature", "rb").read()

def seal(files, name, entry_shift):
    """Manifest, sums, statement, signatures and zip of changed files, as orca makes them."""
    manifest = json.loads(files["manifest.json"])
    unlisted = {"SHA256SUMS", "statement.dsse.json", "statement.pae", "statement.sig", "public_key.pem"}
    gates = {entry["path"]: entry for entry in manifest["files"]}
    listed = sorted(path for path in files if path not in unlisted | {"manifest.json"})
    manifest["files"] = [dict(gates.get(path, {"media_type": "application/json", "gate": None}), path=path,
                              sha256=sha(files[path]), size=len(files[path])) for path in listed]
    files["manifest.json"] = canonical(manifest)
    files["SHA256SUMS"] = "".join(f"{sha(files[path])}  {path}\n" for path in sorted(listed + ["manifest.json"])).encode()
    envelope = json.loads(files["statement.dsse.json"])
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["subject"][0]["digest"]["sha256"] = sha(files["manifest.json"])
    statement["subject"][1]["digest"]["sha256"] = sha(files["SHA256SUMS"])
    statement["predicate"]["configuration"][0]["digest"]["sha256"] = sha(files["manifest.json"])
    for gate in statement["predicate"]["orca"]["gates"]:
        gate["ledger_entry"] = entry_shift(gate["ledger_entry"])
    payload = canonical(statement)
    kind = envelope["payloadType"]
    pae = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    signature = sign(pae)
    der = base64.b64decode("".join(PUBLIC.decode().split("\n")[1:-2]))
    envelope = {"payload": base64.b64encode(payload).decode(), "payloadType": kind,
                "signatures": [{"keyid": sha(der), "sig": base64.b64encode(signature).decode()}]}
    files.update({"statement.dsse.json": canonical(envelope), "statement.pae": pae, "statement.sig": signature,
                  "public_key.pem": PUBLIC})
    path = f"{folder}/{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as out:
        for file in sorted(files):
            info = zipfile.ZipInfo(file)
            info.external_attr, info.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
            out.writestr(info, files[file])
    open(path + ".sig", "wb").write(sign(open(path, "rb").read()))
    return path

def read_small():
    with zipfile.ZipFile(f"{folder}/small.zip") as pack:
        return {name: pack.read(name) for name in pack.namelist()}

def multiplied():
    files = read_small()
    names = sorted(n for n in files if n.startswith("ledger/") and not n.endswith(".dsse.json"))
    entries = [json.loads(files.pop(name)) for name in names]
    for name in [n for n in files if n.endswith(".dsse.json") and n.startswith("ledger/")]:
        del files[name]  # copies would be signed by nobody
    at = next(i for i, e in enumerate(entries) if e["body"]["kind"] == "ruled" and e["body"]["says"]["phase"] == "load")
    original = json.dumps(entries[at])
    check = entries[at]["body"]["says"]["ruling"]["checks"][0]
    digest = check["exhibit"].removeprefix("sha256:")
    wide = json.loads(files.pop(f"exhibits/{digest}.json"))
    endpoints = wide["sight"]["seen"]["endpoints"]  # more of them, which no objective is about
    for n in range(400):
        histogram = dict(endpoints[0]["histogram"], v2_deflate_base64=base64.b64encode(os.urandom(220)).decode())
        endpoints.append(dict(endpoints[n % 3], name=f"endpoint-{n}", histogram=histogram))
    observed = wide["observed_at"]
    added = []
    while sum(map(len, files.values())) < megabytes * 1_000_000:
        for _ in range(10):
            wide["observed_at"] = observed + len(added)
            endpoints[3:] = random.sample(endpoints[3:], 400)
            data = canonical(wide)
            files[f"exhibits/{sha(data)}.json"] = data
            entry = json.loads(original)
            ruled = entry["body"]["says"]["ruling"]["checks"][0]
            ruled["exhibit"], ruled["observed_at"] = f"sha256:{sha(data)}", wide["observed_at"]
            added.append(entry)
    entries[at] = added.pop(0)
    chain, previous = entries[:at] + added + entries[at:], None
    for number, entry in enumerate(chain, 1):
        entry["prev_sha256"] = previous and f"sha256:{previous}"
        written = canonical(entry)
        files[f"ledger/{number:06}.json"], previous = written, sha(written)
    path = seal(files, "exhibits", lambda entry: entry + len(added) if entry > at else entry)
    return path, sum(map(len, files.values())), f"{len(added) + 1} exhibits of {len(data)} bytes"

def incompressible():
    files = read_small()
    for number in range(megabytes // 4):
        files[f"attachments/{number:04}.bin"] = os.urandom(4_000_000)
    return seal(files, "attachments", lambda entry: entry), sum(map(len, files.values())), f"{megabytes // 4} files of 4000000 bytes"

def measure(args):
    times = []
    for _ in range(7):
        start = time.perf_counter()
        done = subprocess.run([orca, "evidence", *args], stdout=subprocess.PIPE, text=True)
        times.append(time.perf_counter() - start)
        if done.returncode != 0:
            sys.exit(f"orca evidence {' '.join(args)}: exit {done.returncode}\n{done.stdout[:2000]}")
    return statistics.median(times), min(times)

for make in (multiplied, incompressible):
    path, total, what = make()
    print(f"{what}: {total / 1e6:.0f} MB in {os.path.getsize(path) / 1e6:.0f} MB of zip")
    for args in (["verify", path, "--key", f"{folder}/key.pub"], ["rejudge", path]):
        median, best = measure(args)
        print(f"  {args[0]:8} {median:6.2f} s median, {best:.2f} s best of 7")
print(f"  most memory {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MB")
PY
