import type { AnyMessage, Dict } from '@ipyparallel-js/protocol';

/** The body of a reply. */
export interface Reply {
  readonly content: Dict;
  /** The packed content, which replaces `content`. */
  readonly packedContent?: Buffer;
  readonly buffers?: readonly Uint8Array[];
}

/** Handles one type of request. A {@link ReportedError} becomes the content of the reply. */
export type RequestHandler = (content: Dict, request: AnyMessage) => Promise<Reply> | Reply;
