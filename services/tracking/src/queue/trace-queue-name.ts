/** The queue of traces in RabbitMQ, without the prefix of the system, and without `.work`. */
export const queueOfTraces = 'tracking.traces';
