"""What lives as long as the process: modules, classes, routes, settings.

Python's collector walks through all of it again and again, looking for garbage that cannot be there: under load a third
of the process's time, and pauses of a tenth of a second in which no event is acknowledged.
"""

import gc


def keep_for_good() -> None:
    """Tell the collector that everything there now stays. To be called when a start, or a large import, is over.

    The little garbage among it stays, too: looking for it would be such a pause.
    """
    gc.freeze()
