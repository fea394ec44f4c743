/** Longest line of an answer, which the asking side takes; a row is not cut. */
export const answerBytesMax: number = 64 * 1024 * 1024
