// Answers each line {policy, requests: [{action, resource, context}]} of standard input with one line: a list of
// {result, ignored, errors}, one for each request: what the policy says, and which context keys AWS does not know for that action.
import { createInterface } from 'node:readline'
import { runSimulation } from '@cloud-copilot/iam-simulate'

async function simulate(policy, { action, resource, context }) {
  const simulated = await runSimulation(
    {
      request: {
        principal: 'arn:aws:iam::123456789012:role/spotward',
        action,
        resource: { resource, accountId: '123456789012' },
        contextVariables: context
      },
      identityPolicies: [{ name: 'spotward', policy }],
      serviceControlPolicies: [],
      resourceControlPolicies: []
    },
    {}
  )
  return {
    result: simulated.overallResult,
    ignored: simulated.result?.ignoredContextKeys ?? [],
    errors: simulated.errors ?? null
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { policy, requests } = JSON.parse(line)
  const answers = await Promise.all(requests.map((request) => simulate(policy, request)))
  process.stdout.write(JSON.stringify(answers) + '\n')
}
