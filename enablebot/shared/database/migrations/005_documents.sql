-- Documents: what people gave EnableBot to know, their versions, and their bytes in sealed pieces.

set local role enablebot_owner;
