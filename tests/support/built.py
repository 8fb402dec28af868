"""Built: the settings of each program, for which pydantic otherwise takes 10 ms in each of those
that are forked from one that imports this."""

import config
from logpipeline.settings import RoomSettings

for each in vars(config).values():
    if isinstance(each, type) and issubclass(each, RoomSettings):
        each.model_rebuild()
