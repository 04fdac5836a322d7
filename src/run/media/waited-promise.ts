/** A promise that keeps the process alive for those who wait for it, and for nobody else. */

export interface Keeper {
  ref(): void
  unref(): void
}

class WaitedPromise<Result> extends Promise<Result> {
  /** What `then` gives is an ordinary promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }
  onWaited: (() => void) | undefined

  // biome-ignore lint/suspicious/noThenProperty: `await` of a subclass calls it, which is how waiting is noticed
  override then<Good = Result, Bad = never>(
    onGood?: ((result: Result) => Good | PromiseLike<Good>) | null,
    onBad?: ((reason: unknown) => Bad | PromiseLike<Bad>) | null,
  ): Promise<Good | Bad> {
    this.onWaited?.()
    return super.then(onGood, onBad)
  }
}

export function keepsAlive<Result>(promise: Promise<Result>, keeper: Keeper): Promise<Result> {
  const waited = new WaitedPromise<Result>((resolve, reject) => {
    promise.then(resolve, reject)
  })
  waited.onWaited = () => {
    waited.onWaited = undefined
    keeper.ref()
    const done = () => keeper.unref()
    promise.then(done, done)
  }
  promise.then(
    () => {
      waited.onWaited = undefined
    },
    () => undefined,
  )
  return waited
}
