# One whole Swift cluster in one process: swiftone.py DIR IP PORT [AUTH] [REPLICAS]
# AUTH: none (default; caller's X-Timestamp honoured) | temp (tempauth test:tester/testing, X-Timestamp shunted)
#       | sync (tempauth + container_sync realm "r" key "k": X-Timestamp honoured on signed requests)
import os, sys, time
T0 = time.time()
D, IP, PORT = os.path.abspath(sys.argv[1]), sys.argv[2], int(sys.argv[3])
AUTH = sys.argv[4] if len(sys.argv) > 4 else 'none'
REPL = int(sys.argv[5]) if len(sys.argv) > 5 else 1
from swift.common import utils
utils.eventlet_monkey_patch()
import array, eventlet, pwd
from eventlet import wsgi
ETC, SRV = D + '/etc', D + '/srv'
os.makedirs(ETC, exist_ok=True)
for i in range(REPL):
    os.makedirs('%s/d%d' % (SRV, i), exist_ok=True)

def write(name, text):
    with open(ETC + '/' + name, 'w') as f:
        f.write(text)

write('swift.conf', '[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n'
      '[storage-policy:0]\nname = default\ndefault = yes\n')
write('container-sync-realms.conf', '[r]\nkey = k\n')
utils.set_swift_dir(ETC)
from swift.common.ring import RingData
from swift.common.wsgi import loadapp
from swift.common.http_protocol import SwiftHttpProtocol

class Cache(object):            # in place of memcached
    def __init__(s): s.d = {}
    def get(s, k, raise_on_error=False):
        v, t = s.d.get(k, (None, 0))
        return v if not t or t > time.time() else None
    def set(s, k, v, serialize=True, time=0, min_compress_len=0, raise_on_error=False):
        s.d[k] = (v, globals()['time'].time() + time if time else 0)
    def incr(s, k, delta=1, time=0):
        v = max(0, int(s.get(k) or 0) + delta); s.set(k, v, time=time); return v
    def decr(s, k, delta=1, time=0): return s.incr(k, -delta, time)
    def delete(s, k, server_key=None): s.d.pop(k, None)
    def set_multi(s, m, server_key, serialize=True, time=0, min_compress_len=0):
        for k, v in m.items(): s.set(k, v, time=time)
    def get_multi(s, ks, server_key): return [s.get(k) for k in ks]
CACHE = Cache()
def cache_factory(global_conf, **kw):
    def wrap(app):
        def call(env, start_response):
            env['swift.cache'] = CACHE
            return app(env, start_response)
        return call
    return wrap
sys.modules['swiftone'] = sys.modules['__main__']

USER = pwd.getpwuid(os.getuid()).pw_name
COMMON = ('swift_dir=%s\nuser=%s\nlog_level=ERROR\nconn_timeout=10\nnode_timeout=30\n'
          'client_timeout=30\n' % (ETC, USER))
BACK = '''[DEFAULT]
%sdevices=%s
mount_check=false
disable_fallocate=true
fallocate_reserve=0
[pipeline:main]
pipeline=%s-server
[app:%s-server]
use=egg:swift#%s
container_update_timeout=30
conn_timeout=10
node_timeout=30
'''
PIPE = {'none': 'catch_errors gatekeeper healthcheck cache listing_formats bulk copy slo dlo',
        'temp': 'catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl tempauth copy slo dlo',
        'sync': 'catch_errors gatekeeper healthcheck cache container_sync listing_formats bulk tempurl tempauth copy slo dlo'}[AUTH]
PROXY = '[DEFAULT]\n' + COMMON + '[pipeline:main]\npipeline = ' + PIPE + ''' proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = 10
node_timeout = 30
error_suppression_limit = 1000000
[filter:cache]
paste.filter_factory = swiftone:cache_factory
[filter:gatekeeper]
use = egg:swift#gatekeeper
shunt_inbound_x_timestamp = %s
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
token_life = 604800
''' % ('false' if AUTH == 'none' else 'true')
for f in 'catch_errors healthcheck container_sync listing_formats bulk tempurl copy slo dlo'.split():
    PROXY += '[filter:%s]\nuse = egg:swift#%s\n' % (f, f)

def serve(kind, sock, conf):
    write(kind + '.conf', conf)
    app = loadapp('%s/%s.conf' % (ETC, kind), global_conf={'log_name': kind})
    eventlet.spawn(wsgi.server, sock, app, utils.NullLogger(), protocol=SwiftHttpProtocol,
                   custom_pool=eventlet.GreenPool(1000), debug=False, keepalive=True)

socks = {}
for kind in ('account', 'container', 'object'):
    socks[kind] = s = eventlet.listen((IP, 0), reuse_addr=True, reuse_port=False, backlog=1024)
    p = s.getsockname()[1]
    devs = [dict(id=i, region=1, zone=i + 1, ip=IP, port=p, device='d%d' % i, weight=1.0, meta='',
                 replication_ip=IP, replication_port=p) for i in range(REPL)]
    # 16 partitions; replica r of partition n lives on device (n+r) mod REPL
    RingData([array.array('H', [(n + r) % REPL for n in range(16)]) for r in range(REPL)],
             devs, 28).save('%s/%s.ring.gz' % (ETC, kind))
for kind in ('account', 'container', 'object'):
    serve(kind, socks[kind], BACK % (COMMON, SRV, kind, kind, kind))
front = eventlet.listen((IP, PORT), reuse_addr=True, reuse_port=False, backlog=1024)
serve('proxy', front, PROXY)
print('READY http://%s:%d %.2fs' % (front.getsockname() + (time.time() - T0,)), flush=True)
while True:
    eventlet.sleep(3600)
