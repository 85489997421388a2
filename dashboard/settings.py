"""Every setting. What varies comes from the environment; with nothing set the embedded default runs: SQLite, jobs and
channels in the web process, images in a directory. The README's table lists each variable; a test compares the two."""

import os
import secrets
from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent
DATA = Path(env.str("VITRINE_DATA", str(BASE_DIR / "var"))).resolve()
DATA.mkdir(mode=0o700, parents=True, exist_ok=True)


def _secret_key() -> str:
    """The secret of the installation: from the environment, or made once and kept readable by the owner only."""
    if key := env.str("VITRINE_SECRET_KEY", ""):
        return str(key)
    path = DATA / "secret_key"
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(fd, "w") as file:
        file.write(secrets.token_urlsafe(50))
    return path.read_text()


SECRET_KEY = _secret_key()
DEBUG = env.bool("VITRINE_DEBUG", False)
ALLOWED_HOSTS = env.list("VITRINE_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
BEHIND_TLS = env.bool("VITRINE_BEHIND_TLS", False)  # a proxy in front speaks https and sets X-Forwarded-Proto

# -- applications ---------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "django_htmx",
    "crispy_forms",
    "crispy_bootstrap5",
    "csp",
    "axes",
    "dashboard.core",
    "dashboard.identity",
    "dashboard.jobs",
    "images",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",  # pads its answers, and Django masks its tokens: lengths tell nothing
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "dashboard.identity.middleware.ContextMiddleware",
]
ROOT_URLCONF = "dashboard.urls"
ASGI_APPLICATION = "dashboard.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.messages.context_processors.messages",
                "dashboard.identity.navigation.context",
            ]
        },
    }
]
CRISPY_ALLOWED_TEMPLATE_PACKS = CRISPY_TEMPLATE_PACK = "bootstrap5"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# -- database, channels, jobs ---------------------------------------------------------------------------------------
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(DATA / "vitrine.sqlite3"),
        "CONN_MAX_AGE": 0,
        # IMMEDIATE: without it two read-then-write transactions meet in "database is locked".
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-20000;",
        },
        # Tests in a second process look at the same data, so the test database is a file too.
        "TEST": {"NAME": str(DATA / "test.sqlite3")},
    }
}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1000}}}
CELERY_BROKER_URL = "memory://"
CELERY_BROKER_TRANSPORT_OPTIONS = {"polling_interval": 0.02}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
# Housekeeping; the tasks are found by name in the rooms, seconds between two runs.
CELERY_BEAT_SCHEDULE = {
    "queue work whose worker died": {"task": "jobs.reap", "schedule": 5.0},
    "clear what nobody refers to": {"task": "images.sweep", "schedule": 60.0},
    "drop expired tokens and sessions": {"task": "identity.prune", "schedule": 3600.0},
    "forget work that ended long ago": {"task": "jobs.prune", "schedule": 3600.0},
}
JOB_WORKERS = env.int("VITRINE_WORKERS", 2)
JOB_RETENTION = env.int("VITRINE_JOB_RETENTION", 90)  # days after which ended work is forgotten

# -- signing in -----------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "identity.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "dashboard.identity.authentication.PasswordBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator", "OPTIONS": {"user_attributes": ["name", "email"]}},
]
LOGIN_URL = "identity:login"
LOGIN_REDIRECT_URL = "/"
SESSION_COOKIE_AGE = env.int("VITRINE_SESSION_TIMEOUT", 3600)  # seconds; each request extends it
SESSION_SAVE_EVERY_REQUEST = True
TOKEN_LIFETIME = env.int("VITRINE_TOKEN_LIFETIME", 3600)  # seconds
AXES_FAILURE_LIMIT = 5
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_HANDLER = "dashboard.identity.slowing.Handler"  # waits instead of locking out; see there for how long
AXES_USERNAME_CALLABLE = "dashboard.identity.slowing.username_of"
AXES_CLIENT_IP_CALLABLE = "dashboard.identity.slowing.address_of"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
SILENCED_SYSTEM_CHECKS = [
    "auth.W004",  # a user's name is unique within the domain, and our backend asks for both
    "axes.W002",  # its middleware answers who must wait; under ASGI it loses the answer our views have given already
]

# -- browser security -----------------------------------------------------------------------------------------------
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
CSRF_FAILURE_VIEW = "dashboard.identity.views.session.csrf_failed"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS else None
SECURE_HSTS_SECONDS = 31536000 if BEHIND_TLS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# -- language, time, static files -----------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATIC_ROOT = DATA / "static"
WHITENOISE_ALLOW_ALL_ORIGINS = False  # our scripts and styles are for our pages
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "dashboard.core.storage.StaticStorage"},
}

# -- API ------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["dashboard.identity.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "dashboard.core.api.exceptions.handler",
    "UNAUTHENTICATED_USER": None,
}
APPEND_SLASH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 2**20  # bytes of a form or JSON body; image data does not pass here
POLICY_FILE = Path(env.str("VITRINE_POLICY_FILE", str(DATA / "policy.yaml")))
PUBLIC_URL = env.str("VITRINE_PUBLIC_URL", "")  # what the service catalog names; empty: the one the client used

# -- images ---------------------------------------------------------------------------------------------------------
STORES = env.json("VITRINE_STORES", default={"local": {"driver": "images.stores.filesystem.FileSystemStore", "root": str(DATA / "blobs")}})
DEFAULT_STORE = env.str("VITRINE_DEFAULT_STORE", next(iter(STORES)))
STAGING = Path(env.str("VITRINE_STAGING", str(DATA / "staging")))
DISK_FORMATS = env.list(
    "VITRINE_DISK_FORMATS", default=["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop", "luks"]
)
CONTAINER_FORMATS = env.list("VITRINE_CONTAINER_FORMATS", default=["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"])
HASHING_ALGORITHM = env.str("VITRINE_HASHING_ALGORITHM", "sha512")
IMAGE_SIZE_CAP = env.int("VITRINE_IMAGE_SIZE_CAP", 2**40)  # bytes, of the file and of the virtual disk
IMAGE_PROPERTY_QUOTA = env.int("VITRINE_IMAGE_PROPERTY_QUOTA", 128)
IMAGE_TAG_QUOTA = env.int("VITRINE_IMAGE_TAG_QUOTA", 128)
LIMIT_PARAM_DEFAULT = env.int("VITRINE_LIMIT_PARAM_DEFAULT", 25)
API_LIMIT_MAX = env.int("VITRINE_API_LIMIT_MAX", 1000)
# Per project, under the names of Glance's unified limits; MiB or a count; -1 is unlimited.
QUOTAS = {
    "image_size_total": env.int("VITRINE_QUOTA_IMAGE_SIZE_TOTAL", -1),
    "image_stage_total": env.int("VITRINE_QUOTA_IMAGE_STAGE_TOTAL", -1),
    "image_count_total": env.int("VITRINE_QUOTA_IMAGE_COUNT_TOTAL", -1),
    "image_count_uploading": env.int("VITRINE_QUOTA_IMAGE_COUNT_UPLOADING", -1),
}
CONVERSION_RATE = env.int("VITRINE_CONVERSION_RATE", 0)  # MiB a second that one conversion may write; 0 is unlimited
UPLOAD_EXPIRY = env.int("VITRINE_UPLOAD_EXPIRY", 7 * 86400)  # seconds without a byte after which an unfinished upload is dropped
STALL_TIMEOUT = env.float("VITRINE_STALL_TIMEOUT", 60)  # seconds in which at least a KiB a second must come, or the sender is cut off
IMPORT_METHODS = ["glance-direct", "web-download"]
IMPORT_ALLOWED_SCHEMES = env.list("VITRINE_IMPORT_ALLOWED_SCHEMES", default=["http", "https"])
IMPORT_DISALLOWED_SCHEMES = env.list("VITRINE_IMPORT_DISALLOWED_SCHEMES", default=[])
IMPORT_ALLOWED_HOSTS = env.list("VITRINE_IMPORT_ALLOWED_HOSTS", default=[])
IMPORT_DISALLOWED_HOSTS = env.list("VITRINE_IMPORT_DISALLOWED_HOSTS", default=[])
IMPORT_ALLOWED_PORTS = env.list("VITRINE_IMPORT_ALLOWED_PORTS", cast=int, default=[80, 443])
IMPORT_DISALLOWED_PORTS = env.list("VITRINE_IMPORT_DISALLOWED_PORTS", cast=int, default=[])

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("VITRINE_LOG_LEVEL", "INFO")},
    "loggers": {
        "oslo_policy": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
        "oslo_utils": {"level": "ERROR"},
        "kombu": {"level": "ERROR"},
        "celery": {"level": "WARNING"},
    },
}
