/**
 * aedes for its control packets only: CONNECT, SUBSCRIBE and UNSUBSCRIBE of 3.1 and 3.1.1. It has no
 * message bus, no store, no timer per client and no client of its own choosing: every connection
 * gets a name of ours, its will and keep alive are taken out, what the hooks ask is answered by the
 * dialect behind the facade stream.
 */
import { Aedes, type AuthenticateError, type Client, type ConnectPacket } from "aedes";
import { Readable, type Duplex } from "node:stream";

/** What a hook needs of the connection it is called for. */
export interface AedesFacade extends Duplex {
  /** Unique among the living. */
  readonly aedesId: string;
  /** CONNECT was parsed. */
  connectParsed(packet: ConnectPacket): void;
  /** Answer later, exactly once. */
  authenticate(done: (error: AuthenticateError | null, ok: boolean | null) => void): void;
  readonly sessionPresent: boolean;
  /** aedes would take further packets now. */
  ready(): void;
}

/** Filters given to aedes: its own names, so that no text of a client reaches its tables. */
export const GRANTED = "g";
export const REFUSED = "r";
const PRESENT = "p";

type Settled<T> = PromiseLike<T> & { finally(callback: () => void): void };

/** aedes only calls `then` and `finally`: no microtask, no promise. */
function settled<T>(value: T): Settled<T> {
  const thenable = {
    then: (onValue: (value: T) => unknown) => {
      onValue(value);
    },
    finally: (callback: () => void) => {
      callback();
    },
  };
  return thenable as unknown as Settled<T>;
}

const done = settled(undefined);
const noSubscriptions = settled<object[]>([]);
/** aedes says session present when it finds a subscription; the hook refuses to restore it. */
const oneSubscription = settled<object[]>([{ topic: PRESENT, qos: 0 }]);

const messageBus = {
  on: (_topic: string, _listener: unknown, callback?: () => void) => callback?.(),
  removeListener: (_topic: string, _listener: unknown, callback?: () => void) => callback?.(),
  emit: (_packet: unknown, callback?: () => void) => callback?.(),
  close: (callback?: () => void) => callback?.(),
};

function nothing(): Readable {
  return new Readable({
    read() {
      this.push(null);
    },
  });
}

/** Session present of the connection that is being accepted: set around a synchronous call. */
let sessionPresent = false;

const persistence = {
  async setup() {},
  cleanSubscriptions: () => done,
  subscriptionsByClient: () => (sessionPresent ? oneSubscription : noSubscriptions),
  subscriptionsByTopic: () => noSubscriptions,
  addSubscriptions: () => done,
  removeSubscriptions: () => done,
  storeRetained: () => done,
  createRetainedStreamCombi: nothing,
  outgoingStream: nothing,
  outgoingEnqueueCombi: () => done,
  putWill: () => done,
  delWill: () => done,
  async *streamWill() {},
  async destroy() {},
};

function facadeOf(client: Client): AedesFacade {
  return client.conn as AedesFacade;
}

/** The caller closes it. */
export async function createAedesBroker(): Promise<Aedes> {
  const broker = await Aedes.createBroker({
    mq: messageBus,
    persistence,
    // our names are short
    maxClientsIdLength: 64,
    preConnect: (client, packet, callback) => {
      const facade = facadeOf(client);
      facade.connectParsed({ ...packet });
      packet.clientId = facade.aedesId;
      packet.keepalive = 0;
      delete packet.will;
      callback(null, true);
    },
    authenticate: (client, _userName, _password, callback) => {
      const facade = facadeOf(client);
      facade.authenticate((error, ok) => {
        sessionPresent = ok === true && facade.sessionPresent;
        callback(error, ok);
        sessionPresent = false;
      });
    },
    authorizeSubscribe: (_client, subscription, callback) => {
      // aedes notes session present only after it has called this hook: CONNACK must not be made within it
      if (subscription.topic === PRESENT) queueMicrotask(() => callback(null, null));
      else callback(null, subscription.topic.startsWith(GRANTED) ? subscription : null);
    },
  });
  broker.on("clientReady", (client) => facadeOf(client).ready());
  return broker;
}
