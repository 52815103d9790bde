"""Every setting of the hub, read from the environment once; `docs/reference/settings.md` lists them."""

from pathlib import Path
from urllib.parse import quote

from django.utils.translation import gettext_lazy as _

from notifyhub.environment import Environment
from notifyhub.folder import read_secret

env = Environment()
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.str("NOTIFYHUB_DATA_DIR", str(BASE_DIR / "var"))).resolve()

# -- what is secret: the environment first, else the files that `manage.py prepare` makes (mode 0600)
SECRET_KEY = env.str("SECRET_KEY", "") or read_secret(DATA_DIR / "secret_key")
KEY_RING = [
    key for key in (env.str("NOTIFYHUB_KEY_RING", "") or read_secret(DATA_DIR / "key_ring")).split() if key
]

DEBUG = env.bool("DEBUG", False)
BIND = env.str("NOTIFYHUB_BIND", "127.0.0.1")
PORT = env.port("NOTIFYHUB_PORT", 8000)
SERVER = env.str("NOTIFYHUB_SERVER", "daphne")  # or "uvicorn"
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
BEHIND_TLS = env.bool("NOTIFYHUB_BEHIND_TLS", False)
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "daphne",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "rest_framework",
    "drf_spectacular",
    "channels",
    "axes",
    "devices",
    "delivery",
    "campaigns",
    "notifyhub",
]
ROLE = env.str("NOTIFYHUB_ROLE", "")
if ROLE in ("urgent", "rest", "clock"):
    # These serve no pages. What only pages need is 40 MB in each of them, and half their time to start.
    INSTALLED_APPS = [
        app for app in INSTALLED_APPS if app not in ("daphne", "unfold", "rest_framework", "drf_spectacular")
    ]
    _admin = INSTALLED_APPS.index("django.contrib.admin")
    INSTALLED_APPS[_admin] = "django.contrib.admin.apps.SimpleAdminConfig"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "notifyhub.cors.middleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "notifyhub.viewer.ViewerMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # nobody locks others out by guessing
AXES_CLIENT_IP_CALLABLE = "devices.addresses.of_request"
AXES_LOCKOUT_CALLABLE = "notifyhub.lockout.answer"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
ROOT_URLCONF = "notifyhub.urls"
ASGI_APPLICATION = "notifyhub.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"  # inputs are drawn with our templates, too
# The admin's languages; API answers and logs are in the first, whoever asks.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("de", _("German")), ("ja", _("Japanese"))]
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = "notifyhub.formats"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
WHITENOISE_USE_FINDERS = True
MEDIA_URL = "/media/"
MEDIA_ROOT = DATA_DIR / "media"
# where devices and providers reach the hub, for pictures that were uploaded to it
PUBLIC_URL = env.str("NOTIFYHUB_PUBLIC_URL", "").rstrip("/")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = env.int("NOTIFYHUB_BODY_LIMIT", 1024 * 1024)

# -- databases: SQLite when nothing else is said; the log then has a file of its own
DATABASES = {"default": env.db("DATABASE_URL", f"sqlite:///{DATA_DIR / 'notifyhub.sqlite3'}")}
_ON_SQLITE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
# "required": nobody approves or launches without a second factor; "optional": who has set one up is asked for it
SECOND_FACTOR = env.str("NOTIFYHUB_SECOND_FACTOR", "") or ("optional" if _ON_SQLITE else "required")
_SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;",
}
if _ON_SQLITE:
    DATABASES["default"]["OPTIONS"] = _SQLITE_OPTIONS
    DATABASES["log"] = {
        **env.db("NOTIFYHUB_LOG_DATABASE_URL", f"sqlite:///{DATA_DIR / 'log.sqlite3'}"),
        "OPTIONS": _SQLITE_OPTIONS,
    }
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    # PostgreSQL takes a quarter of a second to compile a statement that reads JSON, which then takes a hundredth
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("options", "-c jit=off")
for _database in DATABASES.values():
    _database["CONN_MAX_AGE"] = 600
WEB_CONNECTIONS = env.int("NOTIFYHUB_WEB_CONNECTIONS", 20)
LOG_DATABASE = "log" if _ON_SQLITE else "default"
DATABASE_ROUTERS = ["notifyhub.routers.LogRouter"]

# -- the log: "relational" or "cassandra"
LOG_STORE = env.str("NOTIFYHUB_LOG_STORE", "relational")
LOG_DAYS = env.int("NOTIFYHUB_LOG_DAYS", 30)
CASSANDRA_HOSTS = env.list("NOTIFYHUB_CASSANDRA_HOSTS", default=["127.0.0.1"])
CASSANDRA_PORT = env.port("NOTIFYHUB_CASSANDRA_PORT", 9042)
CASSANDRA_KEYSPACE = env.str("NOTIFYHUB_CASSANDRA_KEYSPACE", "notifyhub")
CASSANDRA_REPLICATION = env.int("NOTIFYHUB_CASSANDRA_REPLICATION", 1)
CASSANDRA_DATACENTER = env.str("NOTIFYHUB_CASSANDRA_DATACENTER", "")
CASSANDRA_USERNAME = env.str("NOTIFYHUB_CASSANDRA_USERNAME", "")
CASSANDRA_PASSWORD = env.str("NOTIFYHUB_CASSANDRA_PASSWORD", "")
if LOG_STORE == "cassandra":
    from delivery.cassandra import connection as cassandra

    INSTALLED_APPS += ["django_cassandra_engine", "delivery.cassandra"]
    DATABASES[cassandra.ALIAS] = cassandra.options(
        hosts=CASSANDRA_HOSTS,
        port=CASSANDRA_PORT,
        keyspace=CASSANDRA_KEYSPACE,
        replication=CASSANDRA_REPLICATION,
        datacenter=CASSANDRA_DATACENTER,
        username=CASSANDRA_USERNAME,
        password=CASSANDRA_PASSWORD,
    )

# -- Redis and the broker
REDIS_PORT = env.port("NOTIFYHUB_REDIS_PORT", 8056)
REDIS_EMBEDDED = not env.str("NOTIFYHUB_REDIS_URL", "")
REDIS_PASSWORD = read_secret(DATA_DIR / "redis_password") if REDIS_EMBEDDED else ""
REDIS_URL = env.str(
    "NOTIFYHUB_REDIS_URL",
    f"redis://:{quote(REDIS_PASSWORD)}@127.0.0.1:{REDIS_PORT}/0" if REDIS_EMBEDDED else "",
)
BROKER_URL = env.str("NOTIFYHUB_BROKER_URL", REDIS_URL)
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            # the layer waits up to 5 s for a message in one command: a shorter timeout would cut it off
            "hosts": [{"address": REDIS_URL, "socket_connect_timeout": 2.0, "socket_timeout": 10.0}],
            "prefix": "nh:layer",
            "group_expiry": 180,
        },
    }
}

# -- alerts to the staff
EMAIL_SET = bool(env.str("NOTIFYHUB_EMAIL_URL", ""))
vars().update(env.email("NOTIFYHUB_EMAIL_URL"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("NOTIFYHUB_EMAIL_FROM", "notifyhub@localhost")
# hosts of webhooks whose addresses need not be public, and which need no HTTPS, in a network of one's own
WEBHOOK_PRIVATE_HOSTS = env.list("NOTIFYHUB_WEBHOOK_PRIVATE_HOSTS", default=[])

# -- the fleet: where credentials marked "stands in" send to
FLEET_FILE = Path(env.str("NOTIFYHUB_FLEET_FILE", str(DATA_DIR / "fleet" / "fleet.json")))

# -- delivery
# What a dead worker held is in other hands within 15 s: when its lease has ended, the clock has ticked and rung.
LEASE_SECONDS = env.int("NOTIFYHUB_LEASE_SECONDS", 13)
PAGE_PEOPLE = env.int("NOTIFYHUB_PAGE_PEOPLE", 500 if _ON_SQLITE else 1_000)
SHARDS = env.int("NOTIFYHUB_SHARDS", 1 if _ON_SQLITE else 4)
PAGE_PAUSE_MS = env.int("NOTIFYHUB_PAGE_PAUSE_MS", 20 if _ON_SQLITE else 0)
STREAMS = env.int("NOTIFYHUB_PROVIDER_STREAMS", 900)
# how providers are reached (`delivery.senders.network`); no proxy: the environment's own; no file: public authorities
PROVIDER_PROXY = env.str("NOTIFYHUB_PROVIDER_PROXY", "")
PROVIDER_CA_FILE = env.str("NOTIFYHUB_PROVIDER_CA_FILE", "")
PROVIDER_SECONDS = env.float("NOTIFYHUB_PROVIDER_SECONDS", 10.0)
PROVIDER_CONNECTION_SECONDS = env.float("NOTIFYHUB_PROVIDER_CONNECTION_SECONDS", 3_600.0)
PROVIDER_PING_SECONDS = env.float("NOTIFYHUB_PROVIDER_PING_SECONDS", 30.0)
# hosts of push services that a browser's subscription may name; `*.` stands for any one or more labels
WEB_PUSH_HOSTS = env.list(
    "NOTIFYHUB_WEB_PUSH_HOSTS",
    default=[
        "fcm.googleapis.com",
        "updates.push.services.mozilla.com",
        "*.push.apple.com",
        "*.notify.windows.com",
    ],
)
# hosts besides whose addresses need not be public, for a push service in a network of one's own
WEB_PUSH_PRIVATE_HOSTS = env.list("NOTIFYHUB_WEB_PUSH_PRIVATE_HOSTS", default=[])
# the share of a provider's quota that a lane leaves to the more urgent ones
LANE_RESERVES = {
    "critical": 0.0,
    "high": 0.05,
    "normal": 0.15,
    "bulk": 0.3,
    **env.numbers("NOTIFYHUB_LANE_RESERVES"),
}
# seconds that a device with a WebSocket has to acknowledge before it is pushed to
SILENCE_SECONDS = {
    "critical": 2.0,
    "high": 5.0,
    "normal": 15.0,
    "bulk": 15.0,
    **env.numbers("NOTIFYHUB_SILENCE_SECONDS"),
}
# a run in which this share of the last messages, of at least so many, finds its token refused is paused
BRAKE_SHARE = env.float("NOTIFYHUB_BRAKE_SHARE", 0.2)
BRAKE_MESSAGES = env.int("NOTIFYHUB_BRAKE_MESSAGES", 50)
WORKER_THREADS = env.int("NOTIFYHUB_WORKER_THREADS", 12)  # six stages of two lanes
# what devices are connected with: so many a node, and from one address, each for so long; logs read for them a second
SOCKETS = env.int("NOTIFYHUB_SOCKETS", 15_000)
SOCKETS_PER_ADDRESS = env.int("NOTIFYHUB_SOCKETS_PER_ADDRESS", 1_000)
DRAIN_SECONDS = env.float("NOTIFYHUB_DRAIN_SECONDS", 20.0)
SOCKET_SECONDS = env.int("NOTIFYHUB_SOCKET_SECONDS", 1_800)
POLL_SECONDS = env.int("NOTIFYHUB_POLL_SECONDS", 60)
REPLAYS_PER_SECOND = env.int("NOTIFYHUB_REPLAYS_PER_SECOND", 1_000)
AGE_OBJECTIVES = {  # seconds from acceptance to delivery, by lane
    "critical": env.float("NOTIFYHUB_OBJECTIVE_CRITICAL", 1.0),
    "high": env.float("NOTIFYHUB_OBJECTIVE_HIGH", 5.0),
    "normal": env.float("NOTIFYHUB_OBJECTIVE_NORMAL", 60.0),
    "bulk": env.float("NOTIFYHUB_OBJECTIVE_BULK", 3600.0),
}
METRICS_TOKEN = env.str("NOTIFYHUB_METRICS_TOKEN", "")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["devices.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["devices.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["devices.parsing.LimitedJsonParser"],
    "DEFAULT_PAGINATION_CLASS": "devices.paging.KeysetPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "devices.problems.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "notifyhub",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "ENUM_NAME_OVERRIDES": {
        "RunState": "delivery.models.run.Run.State",
        "RunKind": "delivery.models.run.Run.Kind",
        "EntryState": "delivery.browsing.STATES",
        "ReceiptKind": "delivery.receipts.KINDS",
        "DeviceState": "devices.models.people.Device.State",
        "Platform": "devices.models.people.Platform",
        "CampaignState": "campaigns.models.campaign.Campaign.State",
    },
}
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
UNFOLD = {
    "SITE_TITLE": "notifyhub",
    "SITE_HEADER": "notifyhub",
    "SITE_SYMBOL": "notifications",
    "SHOW_HISTORY": True,
    "SHOW_LANGUAGES": True,
    "LANGUAGES": {"action": "notifyhub.viewer.language_address"},
    "STYLES": ["notifyhub.viewer.style"],
    "SCRIPTS": ["notifyhub.viewer.script"],
    "ACCOUNT": {"navigation": "notifyhub.sidebar.account"},
    "SIDEBAR": {"navigation": "notifyhub.sidebar.navigation"},
    "DASHBOARD_CALLBACK": "notifyhub.dashboard.numbers",
}
LOGGING_CONFIG = "notifyhub.logs.configure"
LOG_LEVEL = env.level("NOTIFYHUB_LOG_LEVEL", "INFO")
LOGGING = {"level": LOG_LEVEL}  # Django hands this to LOGGING_CONFIG, and calls it only when it is not empty
