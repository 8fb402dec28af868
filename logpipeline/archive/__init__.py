"""Archive: logs.txt, each event once; its checkpoint, rotation, packing and upload."""
