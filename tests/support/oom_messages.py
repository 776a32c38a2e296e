"""Messages of vLLM, torch and their libraries about a shortage of memory, and lookalikes.

The texts are the programs' own, with the figures of the report or source that `where` names.
Tracebacks are cut to the frames that show the stage, with their paths set to one site-packages; log
prefixes are kept where they make reading harder. `stage` is where a runner is when it reads the
text; "any" means that the text alone shows it. Sizes printed in MiB or KiB are given in `numbers`
as GiB, rounded to four places.
"""

from oom_at_load import NO_FREE_MEMORY, WEIGHTS
from oom_at_warm_up import GRAPHS, PROFILE
from oom_host import HOST, KILLED
from oom_kv_cache import KV_CACHE_TOO_SMALL, NO_KV_CACHE
from oom_lookalikes import NONE
from oom_parts import Message
from oom_running import RUNNING

MESSAGES: tuple[Message, ...] = (
    *NO_FREE_MEMORY,
    *WEIGHTS,
    *PROFILE,
    *NO_KV_CACHE,
    *KV_CACHE_TOO_SMALL,
    *GRAPHS,
    *RUNNING,
    *HOST,
    *KILLED,
    *NONE,
)
