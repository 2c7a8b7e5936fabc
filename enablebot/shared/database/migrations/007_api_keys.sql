-- Keys of the REST API, and requests that may be repeated.

set local role enablebot_owner;
