/** Limits of the gateway protocol. Sizes in bytes of UTF-8, times in milliseconds. */
export const PROTOCOL_VERSION = 1;
/** A gateway's id is its Device ID. */
export const GATEWAY_ID_MAX_LENGTH = 40;
/** `params` of a command and `result` of an answer, as JSON: an MQTT payload (64 KiB) less the envelope around it. */
export const PARAMS_MAX_BYTES = 60_000;
/** Journal members one hello announces at most; more of them follow in another hello. */
export const HELLO_JOURNAL_MAX = 200;
/** The longest a command may live, and so how long a gateway keeps what it has run. */
export const COMMAND_LIFE_MAX_MS = 7 * 24 * 3_600_000;
/** Commands that wait for one gateway at most. */
export const QUEUED_MAX = 1_000;
/** Longest `Prefer: wait` of the REST interface. */
export const REST_WAIT_MAX_MS = 60_000;
/** Message groups of RocketMQ must be shorter than this. */
export const MESSAGE_GROUP_LIMIT_BYTES = 64;
