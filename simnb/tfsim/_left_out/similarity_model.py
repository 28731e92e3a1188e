"""Left out; says what to use instead."""

from simnb.tfsim._left_out import refuse

refuse(__name__)
