"""python -m rollout"""

import sys

if __name__ == "__main__":
    try:
        from rollout.cli import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()
