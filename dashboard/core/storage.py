"""Static files: immutable names, compressed once."""

from whitenoise.storage import CompressedManifestStaticFilesStorage

# An import of one of our modules by another, so that it names the immutable file: import { a } from "./b.js"; import("./b.js")
MODULE_IMPORTS = (
    (r"""(?m)^(?P<matched>import(?P<names>[^'";]*)from\s*["'](?P<url>\./[\w-]+\.js)["'];)""", """import%(names)sfrom "%(url)s";"""),
    (r"""(?P<matched>\bimport\(["'](?P<url>\./[\w-]+\.js)["']\))""", """import("%(url)s")"""),
)


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """WhiteNoise's storage, which also follows imports between our ES modules and does not look for source maps.

    Vendored files are kept as published, and their last line names a source map that is not shipped.
    """

    patterns = (
        *(
            (glob, tuple(rule for rule in rules if isinstance(rule, str) or "sourceMappingURL" not in rule[0]))
            for glob, rules in CompressedManifestStaticFilesStorage.patterns
        ),
        ("*.js", MODULE_IMPORTS),
    )
