-- Passages of documents and the indexes that find them.

set local role enablebot_owner;
