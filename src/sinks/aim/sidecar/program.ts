/**
 * What runs in the user's Python: Aim's server app of one repository, on loopback, for as long as somebody holds a lease.
 * argv: the repository's folder, the port to take if it is free.
 *
 *  - One for a repository: it holds `tracelet-server/lock` as long as it lives. A second one ends with code 3.
 *  - A lease is a connection to its second port, answered by the repository's path. The system closes those of a process
 *    that was killed, so a server nobody needs any more always learns it.
 *  - `tracelet-server/server.json` tells ports and process once it answers.
 */
export const PROGRAM = `
import fcntl, json, os, socket, sys, threading, time

FIRST_LEASE_S, LAST_LEASE_S = 60, 3
repo, wanted = os.path.abspath(sys.argv[1]), int(sys.argv[2])
from aim import Repo
from aim.__version__ import __version__ as version
Repo.from_path(repo, init=True)
place = os.path.join(repo, '.aim', 'tracelet-server')
os.makedirs(place, exist_ok=True)
lock = open(os.path.join(place, 'lock'), 'w')
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(3)
told = os.path.join(place, 'server.json')

def listen(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(('127.0.0.1', port))
    except OSError:
        listener.bind(('127.0.0.1', 0))
    listener.listen(128)
    return listener

os.environ['__AIM_SERVER_MOUNT_REPO_PATH__'] = os.path.join(repo, '.aim')
import uvicorn
from aim.ext.transport.run import app

http, leases = listen(wanted), listen(0)
server = uvicorn.Server(uvicorn.Config(app, ws_max_size=2**30, log_level='warning', timeout_graceful_shutdown=5))
held, changed = 0, time.monotonic()
guard = threading.Lock()

def hold(connection):
    global held, changed
    try:
        connection.sendall((json.dumps(repo) + '\\n').encode())
        while connection.recv(1024):
            pass
    except OSError:
        pass
    with guard:
        held, changed = held - 1, time.monotonic()
    connection.close()

def take():
    global held
    while True:
        connection, _ = leases.accept()
        with guard:
            held += 1
        threading.Thread(target=hold, args=(connection,), daemon=True).start()

def watch():
    patience = FIRST_LEASE_S
    while not server.should_exit:
        time.sleep(0.2)
        if server.started and not os.path.exists(told):
            ports = {'port': http.getsockname()[1], 'lease': leases.getsockname()[1], 'pid': os.getpid()}
            with open(told + '.new', 'w') as file:
                json.dump({**ports, 'version': version}, file)
            os.replace(told + '.new', told)
        with guard:
            if held > 0:
                patience = LAST_LEASE_S
            elif time.monotonic() - changed > patience:
                server.should_exit = True

if os.path.exists(told):
    os.remove(told)
for loop in (take, watch):
    threading.Thread(target=loop, daemon=True).start()
server.run(sockets=[http])
if os.path.exists(told):
    os.remove(told)
os._exit(0)
`
